"""Networks as a second opinion: the same answers as by plain code, and what is said of them."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import mx2
from scan_examples import layer, rock_salt

import defectpool
from defectpool.config import GraphSettings, NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import network_answers, second_opinion
from defectpool.evaluation.second_opinion import Networks, Opinion
from defectpool.evaluation.site_defects import SiteDefect
from defectpool.network.initial import initial_network
from defectpool.network.model_file import graph_settings, write_models
from defectpool.scan import merging, networks, shards
from defectpool.scan.output import Output
from defectpool.scan.result import Limits
from defectpool.scan.text import as_dict, line

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SMALL = NetworkSettings(width=8, hidden=8)
GRAPH = GraphSettings(radius=6.0, max_neighbors=9, shells="complete", distance_tolerance=1e-4)


def write(path, pooling="max", count=3, n_outputs=1, bias=0.0):
    """Write a model file of networks with random weights."""
    found = []
    for seed in range(count):
        network = initial_network(pooling, "gated", SMALL, GRAPH.radius, seed, n_outputs)
        with torch.no_grad():
            network.fc_out.bias += bias
        weights = network.state_dict()
        found.append({"repeat": 0, "fold": seed, "epoch": 1, "weights": weights})
    content = {
        "pooling": pooling,
        "convolution": "gated",
        "network": SMALL.model_dump(),
        "n_outputs": n_outputs,
        "graph": {**GRAPH.model_dump(), "rounds": 3},
        "models": found,
    }
    write_models(path, content)
    return path


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "model.pt")


def scanned(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "defectpool", "scan", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_probability_is_that_of_the_plain_graph_of_the_models_own_settings(model):
    assert graph_settings(model) == GRAPH
    atoms = layer()
    expected = [
        torch.sigmoid(network(defectpool.graph(atoms, GRAPH.radius, 9, "complete"))).item()
        for _, _, network in defectpool.load_models(model)
    ]
    opinion = Networks(model).opinion(atoms)
    assert opinion.probability == pytest.approx(np.mean(expected), abs=1e-4)
    assert opinion.spread == pytest.approx(np.std(expected), abs=1e-4)
    assert opinion.spread > 0 and not opinion.note


@pytest.mark.parametrize(
    ("pooling", "method"),
    [
        ("max", "argmax_count"),
        ("contrast", "deviation"),
        ("outlier", "z_score"),
        ("mean", "gradient"),
    ],
)
def test_sites_are_scored_by_the_measure_of_the_pooling(tmp_path, pooling, method):
    asked = Networks(write(tmp_path / "model.pt", pooling))
    atoms = layer()
    opinion = asked.opinion(atoms)
    assert opinion.method == asked.method == method
    assert opinion.site_scores.shape == (len(atoms),)
    assert opinion.site_scores[list(opinion.sites)].min() >= opinion.site_scores.max() - 1e-4
    if method == "argmax_count":
        assert opinion.site_scores.sum() == pytest.approx(SMALL.width, rel=1e-5)
    order = np.random.default_rng(0).permutation(len(atoms))
    again = asked.opinion(atoms[order])
    np.testing.assert_allclose(again.site_scores, opinion.site_scores[order], rtol=1e-4, atol=1e-5)


def test_what_has_no_graph_has_a_note(model, monkeypatch):
    asked = Networks(model)
    atoms = layer()
    heavy = atoms.copy()
    heavy.numbers[0] = 110
    crowded = atoms.repeat((2, 2, 1))
    crowded.positions *= 0.05
    flat = atoms.copy()
    flat.cell[1] = flat.cell[0]
    notes = {
        "no features for the atomic numbers 110": heavy,
        "too many neighbors": crowded,
        "lie in one plane": flat,
    }
    for note, structure in notes.items():
        opinion = asked.opinion(structure)
        assert note in opinion.note
        assert opinion.probability is None and opinion.site_scores is None
    monkeypatch.setattr(second_opinion, "MOST_ATOMS", 10)
    assert "too large for a graph: 47 atoms" in asked.opinion(atoms).note


def test_a_failure_of_the_networks_is_a_note(model, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(network_answers, "graph_set", fails)
    assert "failed (ZeroDivisionError: by zero)" in Networks(model).opinion(layer()).note


def test_a_layer_without_a_third_cell_vector_has_an_answer(model):
    atoms = layer()
    atoms.pbc = (True, True, False)
    flat = atoms.copy()
    flat.cell[2] = 0
    asked = Networks(model)
    assert asked.opinion(flat).probability == pytest.approx(asked.opinion(atoms).probability)


def test_wrong_models_are_refused(tmp_path):
    with pytest.raises(DefectpoolError, match="do not tell defective from pristine"):
        Networks(write(tmp_path / "types.pt", n_outputs=5))
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(DefectpoolError, match="cannot be used as a model"):
        next(defectpool.scan(layer(), models=[tmp_path / "text.pt"]))


def test_the_model_that_is_surest_of_a_defect_counts(tmp_path):
    sure, unsure = (write(tmp_path / f"{bias}.pt", bias=bias) for bias in (99.0, -99.0))
    (defective,) = defectpool.scan(layer(), models=[unsure, sure])
    assert [one.model for one in defective.opinions] == [str(unsure), str(sure)]
    assert defective.opinion.model == str(sure) and defective.agrees is True
    assert line(defective).endswith("; networks agree: 0.00 ± 0.00, 1.00 ± 0.00")
    (alone,) = defectpool.scan(layer(), models=[unsure])
    assert alone.agrees is False
    assert line(alone).endswith("; networks disagree: 0.00 ± 0.00")
    (without,) = defectpool.scan(layer())
    assert without.agrees is None and "networks" not in line(without)


def test_the_verdict_of_networks_that_list_defects_is_their_list():
    (result,) = defectpool.scan(layer())
    (true,) = result.finding.defects
    listed = SiteDefect(true.type, true.name, np.array(true.position), (0,), 0.2)
    found = Opinion("m.pt", "gradient", 0.2, 0.1, defects=(listed,))
    nothing = Opinion("n.pt", "gradient", 0.7, 0.1, defects=())
    asked = replace(result, opinions=(nothing, found))
    assert asked.opinion is found and asked.agrees is True
    words = "; networks agree: 0.70 ± 0.10, no defect located, 0.20 ± 0.10, the same defect"
    assert line(asked).endswith(words)
    assert [one["defective"] for one in as_dict(asked)["networks"]] == [False, True]
    assert replace(result, opinions=(nothing,)).agrees is False


def test_undecided_structures_have_an_opinion_that_agrees_with_nothing():
    (result,) = defectpool.scan(rock_salt()[:3])
    opinion = Opinion("m.pt", "gradient", 0.9, 0.1, np.zeros(3))
    asked = replace(result, opinions=(opinion,))
    assert asked.verdict == "undecided" and asked.agrees is None
    assert line(asked).endswith("; networks: 0.90 ± 0.10")
    nothing = replace(result, opinions=(Opinion("m.pt", "gradient", note="why not"),))
    assert nothing.opinion is None
    assert line(nothing).endswith("; networks: no answer (why not)")


def test_files_of_a_scan_with_a_model(model, tmp_path):
    atoms = layer()
    heavy = atoms.copy()
    heavy.numbers[3] = 110
    ase.io.write(tmp_path / "a.xyz", [atoms, heavy])
    (tmp_path / "broken.cif").write_text("data_broken\n")
    done = scanned(
        "a.xyz", "broken.cif", "--model", model, "--output", "out", "--html", "page.html", "--json",
        folder=tmp_path,
    )  # fmt: skip
    first, second, broken = map(json.loads, done.stdout.splitlines())
    assert first["networks"][0]["model"] == str(model)
    assert first["networks"][0]["sites"] and first["agrees"] in (True, False)
    assert second["probability"] is second["agrees"] is None
    assert "no features" in second["networks"][0]["note"]
    assert broken["networks"] == []
    with (tmp_path / "out" / "structures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-4:] == ["probability", "probability_spread", "agrees", "defects_agree"]
    assert rows[0]["defects_agree"] == ""  # networks of this pooling list no defects
    assert float(rows[0]["probability"]) == first["probability"]
    assert [row["agrees"] for row in rows] == [str(first["agrees"]), "", ""]
    annotated = ase.io.read(tmp_path / "out" / "annotated.xyz", ":")
    assert annotated[0].arrays["network_score"].sum() == pytest.approx(SMALL.width, rel=1e-4)
    assert annotated[0].info["probability"] == pytest.approx(first["probability"], abs=1e-6)
    assert "network_score" not in annotated[1].arrays
    assert '"networks":true' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_models_are_checked_before_anything_is_scanned(tmp_path):
    (tmp_path / "text.pt").write_text("no model")
    for name in ("text.pt", "gone.pt"):
        done = scanned("gone.cif", "--model", name, folder=tmp_path)
        assert done.returncode == 2 and not done.stdout
        assert name in done.stderr and "Traceback" not in done.stderr


def test_torch_is_imported_for_models_alone():
    code = (
        "import sys; from ase.build import mx2; import defectpool; "
        "print(*(r.verdict for r in defectpool.scan(mx2().repeat((3, 3, 1))))); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SCRIPTS)})
    assert done.returncode == 0


def test_shards_ask_the_networks_and_another_model_asks_again(model, tmp_path):
    (tmp_path / "cells").mkdir()
    ase.io.write(tmp_path / "cells" / "POSCAR", layer(), format="vasp")
    paths = [tmp_path / name for name in ("list", "shard", "state")]
    shards.write_lists(str(tmp_path / "cells"), paths[:1])

    def scan(*models):
        return shards.scan_shard(*paths, Limits(), "1", models=models)

    assert [scan(model), scan(model), scan()] == [1, 0, 1]
    write(model, bias=9.0)
    assert scan(model) == 1
    merging.merge(paths[1:2], tmp_path, tmp_path / "report.html", networks=True)
    with (tmp_path / "structures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["probability"]) > 0.99 and row["agrees"] == "True"


def test_without_models_nothing_is_loaded():
    assert networks.load([]) == ()


def test_the_networks_that_are_kept():
    """The reference networks find a vacancy, and nothing in its host, where atoms are displaced."""
    kept = SCRIPTS.parent / "results/reference/sites/model.safetensors"
    asked = Networks(kept)
    assert len(asked.networks) == 3
    defective = layer(5)
    pristine = mx2("MoSe2", a=3.29, thickness=3.3, vacuum=8).repeat((5, 5, 1))
    pristine.rattle(0.02, seed=3)
    assert asked.opinion(pristine).probability < 0.5 < asked.opinion(defective).probability


def test_defects_of_networks_are_told_beside_those_of_the_lattice(tmp_path):
    kept = SCRIPTS.parent / "results/reference/sites/model.safetensors"
    (result,) = defectpool.scan(layer(5), models=[kept])
    assert line(result).endswith(", the same defect")
    (seen,) = result.opinion.defects
    elsewhere = replace(result.opinion, defects=(replace(seen, position=seen.position + 3.0),))
    other = replace(result, opinions=(elsewhere,))
    assert result.same_defects(result.opinion) and not other.same_defects(elsewhere)
    assert f", {seen.name} at (" in line(other)
    nothing = replace(result, opinions=(replace(result.opinion, defects=()),))
    assert line(nothing).endswith(", no defect located")
    with Output(tmp_path, networks=True) as output:
        output.add_result(other)
    with (tmp_path / "network_defects.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["type"], row["model"]) == (seen.name, "vacancy", str(kept))
    assert float(row["x"]) == pytest.approx(seen.position[0] + 3.0, abs=1e-5)
    with (tmp_path / "structures.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["defects_agree"] == "False"
