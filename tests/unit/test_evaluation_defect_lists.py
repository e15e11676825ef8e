"""Lists of defects of test structures, and their table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import defect_lists
from defectpool.evaluation.found_defects import judgment
from defectpool.evaluation.site_defects import site_defects
from defectpool.evaluation.tables import write_csv
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.structures.build import build_structures

KEPT = Path(__file__).resolve().parents[2] / "results/reference/sites/model.safetensors"
OTHERS = pd.DataFrame({"repeat": 0, "fold": [0], "host": ["h"], "formula": ["X"]})


def test_lists_of_a_vacancy_and_its_host(tmp_path):
    (layer,) = (host for host in textbook() if host.id == "MoS2-2H")
    structures = []
    for model in ("none", {"model": "static", "sigma": 0.02}):
        settings = StructuresSettings(displacements=[model])
        structures += build_structures([layer], "vacancy", "4x4", settings)[0]
    networks = UnseenNetworks(KEPT, OTHERS)
    rows = defect_lists.lists(structures, networks)
    assert len(rows) == len(structures) == 4
    for one, row in zip(structures, rows.itertuples(), strict=True):
        answer = networks.answer(one, one.formula)
        found = site_defects(one.atoms, answer.classes)
        assert row.probability == answer.probability and row.listed == len(found) == one.label
        if one.label:
            assert row.distance == judgment(one.atoms, one.defects, found).distance < 0.3
    write_csv(rows, tmp_path / "a.csv")
    again = defect_lists.read(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again, rows, check_exact=False, rtol=1e-5, check_dtype=False)
    table = defect_lists.table(again, 50).set_index("displacements")
    assert table.index.tolist() == ["all", "none", "static 0.02 Å"]
    assert (table["found"] == 1).all() and (table["false_alarms"] == 0).all()
    assert (table["name_accuracy"] == 1).all() and (table["n_test"] == 2).all()


def test_the_verdict_is_the_list_and_not_the_probability():
    host = [f"h{number}" for number in range(4)]
    rows = pd.DataFrame(
        {
            "structure": [f"{name}:{label}" for label in (1, 0) for name in host],
            "host": host * 2, "formula": host * 2, "defect": "vacancy", "displacements": "none",
            "label": [1] * 4 + [0] * 4,
            "probability": [0.9, 0.9, 0.2, 0.2, 0.6, 0.1, 0.1, 0.1],
            "listed": [1, 0, 2, 1, 0, 0, 0, 1],
            "site_correct": [1, 0, 1, 1, *[np.nan] * 4],
            "type_correct": [1, 0, 0, 1, *[np.nan] * 4],
            "name_correct": [0, 0, 0, 1, *[np.nan] * 4],
            "distance": [0.1, np.nan, 0.3, 0.2, *[np.nan] * 4],
        }
    )  # fmt: skip
    (row,) = defect_lists.table(rows, 200).to_dict("records")
    assert (row["displacements"], row["n_hosts"], row["n_test"]) == ("all", 4, 8)
    assert (row["found"], row["found_by_probability"]) == (0.75, 0.5)
    assert (row["false_alarms"], row["false_alarms_by_probability"]) == (0.25, 0.25)
    accuracies = [row[f"{name}_accuracy"] for name in ("site", "type", "name")]
    assert accuracies == [0.75, 0.5, 0.25] and row["distance"] == pytest.approx(0.2)
    assert row["found_low"] < row["found"] < row["found_high"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("structure\n")
    with pytest.raises(DefectpoolError, match=r"a\.csv: damaged file of lists"):
        defect_lists.read(tmp_path / "a.csv")
