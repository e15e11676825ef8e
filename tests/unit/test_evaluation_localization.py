"""Where the network sees the defect, against plain computations on whole graphs."""

from itertools import islice

import numpy as np
import pytest
import torch

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.config import (
    GraphSettings,
    NetworkSettings,
    StructuresSettings,
    TrainingSettings,
)
from defectpool.errors import DefectpoolError
from defectpool.evaluation import localization
from defectpool.evaluation.localization import all_surroundings as around
from defectpool.graphs.graph_set import graph_set
from defectpool.materials import embedded
from defectpool.network.initial import initial_network
from defectpool.network.pooling import POOLINGS
from defectpool.structures.build import build_structures
from defectpool.training.cross_validation import Run, cross_validate

SMALL = NetworkSettings(width=12, hidden=8)


def built(defect="vacancy", supercell="3x3", hosts=6, **graph):
    structures, _ = build_structures(
        list(islice(embedded.hosts(), hosts)), defect, supercell, StructuresSettings()
    )
    return structures, graph_set(structures, GraphSettings(**graph), 3)


def network_of(pooling):
    network = initial_network(pooling, "gated", SMALL, 8.0, seed=3).double().eval()
    with torch.no_grad():  # running statistics unlike those of a new network
        for name, buffer in network.named_buffers():
            if buffer.dtype.is_floating_point:
                buffer.add_(0.1 if name.endswith("mean") else 0.5)
    return network


def scores_of_sites(network, graphs, method):
    batch = CPUDataset(graphs, 3, SMALL.gaussians, dtype=torch.float64, merge=True).batch(
        np.arange(len(graphs)), gradients=False
    )
    nodes = localization.site_scores(network, batch, method).numpy()
    shift = np.repeat(graphs.node_offset[:-1], np.diff(graphs.site_offset))
    return nodes[graphs.site_class + shift]


@pytest.mark.parametrize(
    ("pooling", "method"),
    [
        ("max", "argmax_count"),
        ("contrast", "deviation"),
        ("outlier", "z_score"),
        *((p, "gradient") for p in POOLINGS),
    ],
)
def test_scores_do_not_depend_on_compression(pooling, method):
    _, compressed = built()
    _, whole = built(compression=False)
    network = network_of(pooling)
    np.testing.assert_allclose(
        scores_of_sites(network, compressed, method),
        scores_of_sites(network, whole, method),
        rtol=1e-7,
        atol=1e-10,
    )


def features_of_sites(network, graphs):
    batch = CPUDataset(graphs, 3, SMALL.gaussians, dtype=torch.float64, merge=False).batch(
        np.arange(len(graphs)), gradients=False
    )
    with torch.no_grad():
        return batch, network.rows(batch)


def test_wins_and_deviations_are_those_of_a_loop_over_sites():
    _, graphs = built(compression=False)
    counts = scores_of_sites(network_of("max"), graphs, "argmax_count")
    deviations = scores_of_sites(network_of("contrast"), graphs, "deviation")
    z_scores = scores_of_sites(network_of("outlier"), graphs, "z_score")
    _, rows = features_of_sites(network_of("max"), graphs)
    features = rows[-1].numpy()
    for i in range(len(graphs)):
        part = slice(graphs.site_offset[i], graphs.site_offset[i + 1])
        mine = features[part]
        won = np.zeros(len(mine))
        for feature in mine.T:
            tied = np.isclose(feature, feature.max(), rtol=0, atol=1e-12)
            won += tied / tied.sum()
        np.testing.assert_allclose(counts[part], won, atol=1e-9)
        assert counts[part].sum() == pytest.approx(SMALL.width)
        elements = graphs.atomic_number[part]
        for element in np.unique(elements):
            of = elements == element
            away = mine[of] - mine[of].mean(axis=0)
            np.testing.assert_allclose(
                deviations[part][of], np.linalg.norm(away, axis=1), atol=1e-9
            )
            scaled = away / np.sqrt(mine[of].var(axis=0) + 0.01**2)
            np.testing.assert_allclose(
                z_scores[part][of], np.linalg.norm(scaled, axis=1), atol=1e-9
            )


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_gradient_is_that_of_finite_differences(pooling):
    """Scale the features of one site up and down, and see what the logit does."""
    _, graphs = built(hosts=1, compression=False)
    network = network_of(pooling)
    batch, rows = features_of_sites(network, graphs)
    noise = torch.Generator().manual_seed(0)  # a tie has no derivative
    rows[-1] = rows[-1] + 0.01 * torch.randn(rows[-1].shape, generator=noise, dtype=torch.float64)
    network.rows = lambda _: rows
    scores = localization.site_scores(network, batch, "gradient").numpy()
    step = 1e-6
    for site in range(0, int(graphs.site_offset[1]), 5):
        logits = []
        for sign in (1, -1):
            sites = localization._Leaves(rows, batch)
            with torch.no_grad():
                sites.leaves[site] *= 1 + sign * step
                logits.append(float(network.classify(sites)[0]))
        slope = (logits[0] - logits[1]) / (2 * step)
        assert scores[site] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_surroundings_of_defects_in_molybdenum_disulfide():
    (mos2,) = (host for host in embedded.hosts() if host.id == "1MoS2-1")
    for defect in ("vacancy", "substitution", "antisite"):
        structures, _ = build_structures(
            [mos2], defect, "4x4", StructuresSettings(choose="all", substitution=["Li"])
        )
        for structure in (s for s in structures if s.label == 1):
            around = localization.surroundings(structure)
            neighbors = 6 if structure.replaced == "Mo" else 3
            assert around.near.sum() == neighbors + (defect != "vacancy")
            assert around.defect.sum() == (defect != "vacancy")
            bonds = around.distance[around.near & ~around.defect]
            np.testing.assert_allclose(bonds, 2.41, atol=0.05)
            if defect == "vacancy":
                assert (around.target == around.near).all()
            else:
                assert structure.atoms.symbols[int(np.flatnonzero(around.target)[0])] == (
                    structure.species
                )


def test_each_of_several_defects_counts():
    chosen = StructuresSettings(concentration=0.1, count=2, displacements=["none", "static"])
    for defect in ("vacancy", "dense"):
        structures, _ = build_structures(list(embedded.hosts())[:6], defect, "4x4", chosen)
        for structure in (s for s in structures if s.label == 1):
            around = localization.surroundings(structure)
            atoms = {label.atom for label in structure.defects} - {None}
            assert set(np.flatnonzero(around.defect)) == atoms
            assert len(structure.defects) > 1
            for label in structure.defects:
                assert around.target[list(label.atoms)].all()
                if structure.displacements == "none":
                    assert around.distance[list(label.atoms)].max() < 4


def test_distances_go_through_the_borders_of_the_cell():
    structures, _ = built("substitution", "4x4", hosts=3)
    for structure in (s for s in structures if s.label == 1):
        around = localization.surroundings(structure)
        atoms = structure.atoms
        expected = atoms.get_distances(structure.defect_site, range(len(atoms)), mic=True)
        np.testing.assert_allclose(around.distance, expected, atol=1e-9)


def test_a_small_supercell_puts_sites_between_images_of_the_defect():
    """Why picks in 2x2 supercells are far from a vacancy: sites midway between three images."""
    (mos2,) = (host for host in embedded.hosts() if host.id == "1MoS2-1")
    images = {}
    for supercell in ("2x2", "6x6"):
        structures, _ = build_structures([mos2], "vacancy", supercell, StructuresSettings())
        (structure,) = (s for s in structures if s.label == 1)
        found = localization.surroundings(structure)
        atoms = structure.atoms.repeat((5, 5, 1))
        center = structure.position + 2 * structure.atoms.cell.array[:2].sum(0)
        sites = structure.atoms.positions + 2 * structure.atoms.cell.array[:2].sum(0)
        defects = center + np.array(
            [i * structure.atoms.cell[0] + j * structure.atoms.cell[1]
             for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2)]
        )  # fmt: skip
        away = np.linalg.norm(sites[:, None] - defects, axis=2)
        close = away <= away.min(1, keepdims=True) + localization.SAME_DISTANCE
        np.testing.assert_array_equal(found.n_images, close.sum(1))
        assert (found.n_images[found.near] == 1).all() and len(atoms) == 25 * len(sites)
        images[supercell] = found.n_images.mean()
    assert images["2x2"] > 1.5 > images["6x6"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    structures, graphs = built("substitution", "2x2", hosts=12)
    run = Run("max", "gated", SMALL, TrainingSettings(epochs=8, folds=3))
    outcome = cross_validate(graphs, run, folder / "state")
    names = {"model": "model.pt", "history": "h.csv", "predictions": "p.csv", "audit": "a.json"}
    outcome.write(**{key: folder / name for key, name in names.items()})
    return folder / "model.pt", graphs, structures, outcome.predictions


def test_every_defective_test_structure_has_one_row_a_method(trained):
    model, graphs, structures, predictions = trained
    found = localization.locate(model, graphs, around(structures), predictions)
    defective = predictions[predictions["label"] == 1]
    assert list(found["method"].unique()) == ["argmax_count", "gradient"]
    for _, part in found.groupby("method"):
        assert sorted(part["structure"]) == sorted(defective["structure"])
    for column in ("correct", "near", "chance_correct", "chance_near"):
        assert found[column].between(0, 1).all()
    sizes = {s.structure: len(s.atoms) for s in structures}
    one = found["structure"].map(sizes)
    np.testing.assert_allclose(found["chance_correct"], 1 / one)
    assert (found["near"] >= found["correct"]).all()
    assert (found.loc[found["correct"] == 1, "distance"] == 0).all()


def test_picks_come_from_the_network_that_did_not_train_on_the_host(trained, monkeypatch):
    model, graphs, structures, predictions = trained
    asked = []
    original = localization.site_scores

    def noted(network, batch, method):
        asked.append(network)
        return original(network, batch, method)

    monkeypatch.setattr(localization, "site_scores", noted)
    for fold in range(3):
        asked.clear()
        part = predictions[predictions["fold"] == fold]
        localization.locate(model, graphs, around(structures), part)
        trained_networks = localization.load_models(model)
        (expected,) = (n for _, f, n in trained_networks if f == fold)
        for network in asked:
            for a, b in zip(network.parameters(), expected.parameters(), strict=True):
                assert torch.equal(a, b)


def test_summary_is_the_mean_with_an_interval(trained):
    model, graphs, structures, predictions = trained
    found = localization.locate(model, graphs, around(structures), predictions)
    for row in localization.summary(found.assign(pooling="max"), ["pooling"], 300):
        part = found[found["method"] == row["method"]]
        assert row["accuracy"] == pytest.approx(part["correct"].mean())
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert row["distance_median"] == pytest.approx(np.median(part["distance"]))


def test_other_structures_are_refused(trained):
    model, graphs, structures, predictions = trained
    with pytest.raises(DefectpoolError, match="other structures"):
        localization.locate(model, graphs, around(structures[:4]), predictions)
