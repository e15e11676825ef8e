"""Real cells with labels: how they are read, and what lattice and networks are asked."""

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import mx2

from defectpool.config import GraphSettings, NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import real_cells
from defectpool.evaluation.second_opinion import unlabeled
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.network.initial import initial_network
from defectpool.network.model_file import write_models
from defectpool.network.site_network import SITES

GRAPH = GraphSettings(radius=5.0, max_neighbors=None)
SMALL = NetworkSettings(width=4, n_convolutions=1, hidden=4, gaussians=5)


def layer(vacancy, seed=0):
    """Return a layer of MoS2, with or without a vacancy of Mo, a little displaced."""
    atoms = mx2("MoS2", vacuum=8).repeat((4, 4, 1))
    atoms.pbc = (True, True, False)
    defects = []
    if vacancy:
        position = atoms.positions[0].tolist()
        del atoms[0]
        defects = [{"kind": "vacancy", "name": "v_Mo", "position": position}]
    atoms.positions += np.random.default_rng(seed).normal(0, 0.03, atoms.positions.shape)
    atoms.info = {"host": "MoS2", "name": f"{vacancy}", "defects": json.dumps(defects)}
    return atoms


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two files: one without a pristine frame."""
    ase.io.write(tmp_path / "both.xyz", [layer(True), layer(False)], format="extxyz")
    ase.io.write(tmp_path / "one.xyz", [layer(True, 1)], format="extxyz")
    return tmp_path


def test_the_lattice_on_labeled_cells(folder):
    cells = real_cells.with_noisy_pristine(real_cells.read_cells(folder), copies=2)
    assert [cell.set for cell in cells[:3]] == ["both", "both", "one"]
    assert len(cells) == 3 + 2 * len(real_cells.NOISE)
    assert all(not cell.defects and len(cell.atoms) == 48 for cell in cells[3:])
    answers = real_cells.lattice_answers(cells)
    assert ((answers["probability"] == 1) == (answers["label"] == 1)).all()
    assert answers["site_correct"].dropna().tolist() == [1, 1]
    table = real_cells.table(answers, 100)
    assert table["n_cells"].sum() == len(cells) and (table["accuracy"] == 1).all()
    assert table["type_accuracy"].isna().tolist() == (table["label"] == 0).tolist()


def test_noisy_pristine_cells_are_of_a_host_that_the_lattice_is_sure_of(folder):
    (good,) = (cell for cell in real_cells.read_cells(folder) if cell.set == "one")
    gas = good.atoms.copy()
    gas.positions += np.random.default_rng(0).normal(0, 1.0, gas.positions.shape)
    molten = replace(good, atoms=gas, host="WSe2")
    assert not real_cells.with_noisy_pristine([molten], copies=1)[1:]
    found = real_cells.with_noisy_pristine([molten, good], copies=1)[2:]
    assert {(cell.host, len(cell.atoms)) for cell in found} == {("MoS2", 48)}


def test_networks_that_trained_on_the_host_are_not_asked(folder, tmp_path):
    models = []
    for fold, bias in enumerate((-20.0, 20.0)):  # the first says pristine, the second defective
        network = initial_network("max", "smooth", SMALL, GRAPH.radius, fold)
        with torch.no_grad():
            network.fc_out.bias[0] = bias
        models.append({"repeat": 0, "fold": fold, "epoch": 1, "weights": network.state_dict()})
    path = tmp_path / "model.pt"
    settings = {"pooling": "max", "convolution": "smooth", "network": SMALL.model_dump()}
    graph = {**GRAPH.model_dump(), "rounds": 1}
    write_models(path, {**settings, "n_outputs": 1, "graph": graph, "models": models})
    cells = real_cells.read_cells(folder)

    def probability(formula):
        tested = pd.DataFrame({"repeat": 0, "fold": [1], "host": ["h"], "formula": [formula]})
        return real_cells.network_answers(cells, path, tested)["probability"].mean()

    assert probability("MoS2") > 0.99
    assert probability("WS2") == pytest.approx(0.5, abs=0.01)  # MoS2 is new to both


def test_polymorphs_of_unlike_prototypes_are_answered_by_their_own_folds(folder, tmp_path):
    weights = [
        initial_network(SITES, "smooth", SMALL, GRAPH.radius, fold).state_dict() for fold in (0, 1)
    ]
    models = [
        {"repeat": 0, "fold": fold, "epoch": 1, "weights": one} for fold, one in enumerate(weights)
    ]
    path = tmp_path / "model.pt"
    settings = {"pooling": SITES, "convolution": "smooth", "network": SMALL.model_dump()}
    graph = {**GRAPH.model_dump(), "rounds": 1}
    write_models(path, {**settings, "n_outputs": 5, "graph": graph, "models": models})
    both = pd.DataFrame({"repeat": 0, "fold": [0, 1], "host": ["a", "b"], "formula": "MoS2"})
    networks = UnseenNetworks(path, both)
    atoms = real_cells.read_cells(folder)[0].atoms

    def probability(host):
        answer = networks.answer(replace(unlabeled(atoms), host=host), "MoS2")
        return answer.probability

    first, second, mean = (probability(host) for host in ("a", "b", ""))
    assert first != second and mean == pytest.approx((first + second) / 2)
    twice = both.assign(host="a")
    with pytest.raises(DefectpoolError, match="random split"):
        UnseenNetworks(path, twice)


def test_the_verdict_of_a_class_for_every_site_is_that_of_its_list(folder, monkeypatch):
    cells = real_cells.read_cells(folder)[:2]
    model = Path(__file__).resolve().parents[2] / "results/reference/sites/model.safetensors"
    others = pd.DataFrame({"repeat": 0, "fold": [0], "host": ["h"], "formula": ["WS2"]})
    found = real_cells.network_answers(cells, model, others)
    assert found["probability"].tolist() == [1.0, 0.0]
    assert found["site_correct"][0] == found["type_correct"][0] == 1.0
    monkeypatch.setattr(real_cells, "site_defects", lambda *_: ())
    assert real_cells.network_answers(cells, model, others)["probability"].tolist() == [0.0, 0.0]


def test_files_without_labels_are_named(tmp_path):
    with pytest.raises(DefectpoolError, match=r"there is no \.xyz"):
        real_cells.read_cells(tmp_path)
    ase.io.write(tmp_path / "plain.xyz", mx2("MoS2", vacuum=8), format="extxyz")
    with pytest.raises(DefectpoolError, match=r"plain\.xyz: no extended XYZ with info"):
        real_cells.read_cells(tmp_path)


def test_hosts_are_compared_by_their_reduced_formulas(tmp_path):
    atoms = layer(False)
    atoms.info["host"] = "Se2Mo"
    ase.io.write(tmp_path / "one.xyz", atoms, format="extxyz")
    assert real_cells.read_cells(tmp_path)[0].host == "MoSe2"
    atoms.info["host"] = "no formula"
    ase.io.write(tmp_path / "one.xyz", atoms, format="extxyz")
    with pytest.raises(DefectpoolError, match=r"one\.xyz: no extended XYZ"):
        real_cells.read_cells(tmp_path)
