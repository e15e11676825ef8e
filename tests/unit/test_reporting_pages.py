"""The pages of the report: whole, self-contained, and nothing in the data can break them."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_examples import predictions

from defectpool.config import StructuresSettings
from defectpool.evaluation import localization
from defectpool.evaluation.misclassified import misclassified
from defectpool.evaluation.tables import RUN_KEY
from defectpool.materials import embedded
from defectpool.reporting import page_parts, summary, table, viewer
from defectpool.structures.build import build_structures

PACKAGE = Path(viewer.__file__).parent


def pair_of(defect="vacancy", supercell="3x3"):
    (host,) = (host for host in embedded.hosts() if host.id == "1MoS2-1")
    structures, _ = build_structures([host], defect, supercell, StructuresSettings())
    return structures


def row(structure, site, **more):
    around = localization.surroundings(structure)
    score = np.zeros(len(structure.atoms))
    score[site] = 1
    return {
        "structure": structure.structure,
        "pooling": "max",
        "convolution": "gated",
        "method": "argmax_count",
        "probability": 0.875,
        **localization._judge(score, around),
        **more,
    }


def test_library_is_the_released_one_with_its_licence():
    text = (PACKAGE / page_parts.LIBRARY).read_bytes()
    # npm package 3dmol 2.5.5, build/3Dmol-min.js
    assert hashlib.sha256(text).hexdigest() == (
        "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"
    )
    license = (PACKAGE / "3Dmol-LICENSE.txt").read_text()
    assert "BSD-3-Clause" in license and "University of Pittsburgh" in license


def test_page_has_all_in_it_and_asks_for_nothing():
    structures = pair_of()
    defective, pristine = sorted(structures, key=lambda s: -s.label)
    page = viewer.page([viewer.example(pristine, defective, [row(defective, 3)])])
    own = page.replace((PACKAGE / page_parts.LIBRARY).read_text(), "")
    assert "$LIBRARY" not in own and "$EXAMPLES" not in own
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", own)
    assert not re.search(r"https?://", own)


def data_of(page):
    return json.loads(
        re.search(r'<script id="examples"[^>]*>(.*?)</script>', page, re.DOTALL).group(1)
    )


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution", "interstitial"])
def test_example_says_where_everything_is(defect):
    pristine, defective = viewer.pairs(iter(pair_of(defect)), [pair_of(defect)[0].structure])[
        pair_of(defect)[0].structure
    ]
    assert (pristine.label, defective.label) == (0, 1)
    (found,) = data_of(viewer.page([viewer.example(pristine, defective, [row(defective, 5)])]))
    assert len(found["pristine"]) == len(pristine.atoms)
    assert len(found["defective"]) == len(defective.atoms)
    np.testing.assert_allclose(found["defect"], defective.position, atol=1e-3)
    (pick,) = found["picks"]
    np.testing.assert_allclose(pick["positions"], defective.atoms.positions[[5]], atol=1e-3)
    distance = defective.atoms.copy()
    distance.append("H")
    distance.positions[-1] = defective.position
    assert float(pick["distance"]) == pytest.approx(
        distance.get_distance(5, -1, mic=True), abs=0.006
    )
    assert {a[0] for a in found["pristine"] + found["defective"]} == set(found["styles"])


def test_no_text_ends_the_script_that_holds_it():
    structures = pair_of()
    pristine, defective = viewer.pairs(iter(structures), [structures[0].structure])[
        structures[0].structure
    ]
    evil = viewer.example(pristine, defective, [row(defective, 1)])
    evil["title"] = "</script><script>alert(1)</script> $LIBRARY $EXAMPLES"
    page = viewer.page([evil])
    assert data_of(page)[0]["title"] == evil["title"]
    assert page.count("</script>") == viewer.page([{**evil, "title": ""}]).count("</script>")


def test_choice_takes_correct_and_wrong_picks_in_turn_and_does_not_depend_on_order():
    located = pd.DataFrame(
        {
            "structure": [f"s{i}" for i in range(10)] * 2,
            "method": ["argmax_count"] * 10 + ["gradient"] * 10,
            "correct": [1.0] * 7 + [0.0] * 13,
        }
    )
    chosen = viewer.choose(located, 4)
    correct = dict(zip(located["structure"][:10], located["correct"][:10], strict=True))
    assert [correct[name] for name in chosen] == [1, 0, 1, 0]
    assert viewer.choose(located.sample(frac=1, random_state=0), 4) == chosen
    assert len(viewer.choose(located[located["correct"] == 1], 4)) == 4
    assert len(viewer.choose(located, 99)) == 10


def inputs(**changed):
    key = {"defect": "vacancy", "supercell": "6x6", "convolution": "gated"}
    runs = [
        ({**key, "pooling": p}, predictions(hosts=15, seed=i))
        for i, p in enumerate(("mean", "max"))
    ]
    audit = {"seconds": 3.2, "device": "cpu", "node": "n<1>", "versions": {"torch": "2.13.0"}}
    located = pd.concat(
        pd.DataFrame(
            {
                **k, "method": "gradient", "host": [f"h{i}" for i in range(5)],
                "structure": [f"h{i}:v" for i in range(5)], "probability": 0.7,
                "correct": 1.0, "near": 1.0, "distance": 2.4, "n_images": 1.0,
                "chance_correct": 0.1, "chance_near": 0.2, "chance_distance": 7.0,
                "chance_n_images": 1.5,
            }
        )
        for k, _ in runs
    )  # fmt: skip
    baseline = {
        "defect": "vacancy", "supercell": "6x6", "baseline": "majority", "split": "host",
        "accuracy": 0.5, "accuracy_low": 0.5, "accuracy_high": 0.5, "n_undecided": 0,
        "site_accuracy": np.nan, "type_accuracy": np.nan,
    }  # fmt: skip
    values = {
        "table": table.table([table.run_row(p, audit, k, 100) for k, p in runs]),
        "comparisons": pd.DataFrame(
            table.comparison_rows(runs, 100), columns=table.COMPARISON_COLUMNS
        ),
        "statistics": pd.DataFrame([table.statistics_row(p, k, 100) for k, p in runs]),
        "baselines": pd.DataFrame([baseline]),
        "localization": pd.DataFrame(localization.summary(located, RUN_KEY, 100)),
        "rejected": pd.DataFrame(
            [{"id": "x<script>", "reason": "overlap", "message": "two atoms & more"}]
        ),
        "audits": [audit, audit],
        "misclassified": [misclassified(p) for _, p in runs],
        "run_plots": ["<svg>1</svg>", "<svg>2</svg>"],
        "accuracy_plot": "<?xml ?>\n<svg><metadata>when</metadata><g/></svg>",
        "structures": "<html></script></html>",
        "settings": "materials:\n  path: <none>\n",
    }
    return summary.Inputs(**(values | changed))


def test_summary_holds_every_value_and_escapes_text_from_outside():
    given = inputs()
    text = summary.page(given)
    for accuracy in given.table["accuracy"]:
        assert f">{100 * accuracy:.1f}</td>" in text
    assert "49.2" in text and "91.8" in text and "torch" in text and "overlap" in text
    assert "x&lt;script&gt;" in text and "n&lt;1&gt;" in text and "&lt;none&gt;" in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "<metadata>" not in text and "<?xml" not in text
    # nothing but the link to the page of the map
    assert set(re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)([^"']*)""", text)) == {"map.html"}


def test_summary_opens_with_the_table_and_the_main_plot():
    text = summary.page(inputs())
    assert text.index('data-name="table"') < text.index("<svg>") < text.index("<h2>")


def test_each_run_has_its_plot_its_structures_and_its_misclassified_structures():
    given = inputs()
    text = summary.page(given)
    for i, wrong in enumerate(given.misclassified):
        part = text[text.index(f'<template id="run-{i}">') :].split("</template>")[0]
        assert f'data-run="run-{i}"' in text
        assert "data:image/svg+xml;base64," in part and 'data-defect="vacancy"' in part
        assert f"Misclassified structures: {len(wrong)}" in part
        assert all(name in part for name in wrong["structure"])
    assert "show-structures" not in summary.page(inputs(structures="")).split("<script")[0]


def test_localization_says_what_a_small_supercell_does():
    assert "midway between several images" in summary.page(inputs())
