"""Baselines on real structures of embedded hosts."""

from itertools import islice

import numpy as np
import pandas as pd
import pytest

from defectpool.config import GraphSettings, StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import baselines
from defectpool.graphs.graph_set import graph_set
from defectpool.materials import embedded
from defectpool.structures.build import build_structures
from defectpool.training.splits import host_disjoint_folds


def built(defect, supercell, hosts=24):
    structures, _ = build_structures(
        list(islice(embedded.hosts(), hosts)), defect, supercell, StructuresSettings()
    )
    graphs = graph_set(structures, GraphSettings(), 3)
    folds = pd.DataFrame(
        {
            **{k: getattr(graphs, k) for k in ("structure", "host", "formula", "pair", "name")},
            "repeat": 0,
            "fold": host_disjoint_folds(graphs.formula, 4, 0),
            "label": graphs.label.astype(int),
            "probability": 0.5,
            "probability_best_epoch": 0.5,
        }
    )
    return structures, graphs, folds


def test_compositions_are_those_of_the_structures():
    structures, graphs, _ = built("antisite", "3x3", hosts=8)
    counts = baselines.compositions(graphs)
    for structure, row in zip(structures, counts, strict=True):
        np.testing.assert_array_equal(row, np.bincount(structure.atoms.numbers, minlength=119))
    seen = baselines.features(counts)
    np.testing.assert_array_equal(seen[:, 0], [len(s.atoms) for s in structures])
    np.testing.assert_allclose(seen[:, 1:].sum(axis=1), 1)


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution", "interstitial"])
def test_one_division_tells_every_single_defect(defect):
    """The label is in the composition: any single defect breaks divisibility by the cells."""
    _, graphs, folds = built(defect, "3x2")
    found = baselines.predict("divisibility", graphs, folds, "3x2")
    assert (found["probability"] == found["label"]).all()


def test_majority_of_balanced_labels_is_a_guess():
    _, graphs, folds = built("vacancy", "2x2")
    rows = {r["baseline"]: r for r in baselines.every_row(graphs, folds, "vacancy", "2x2", 200)}
    assert rows["majority"]["accuracy"] == 0.5


def test_forest_sees_substituting_elements_and_is_the_same_each_time():
    _, graphs, folds = built("substitution", "2x2")
    found = baselines.predict("composition", graphs, folds, "2x2")
    again = baselines.predict("composition", graphs, folds, "2x2")
    pd.testing.assert_frame_equal(found, again)
    pd.testing.assert_frame_equal(
        found[["structure", "fold", "label"]], folds[["structure", "fold", "label"]]
    )
    assert ((found["probability"] > 0.5) == found["label"]).mean() > 0.8


def test_shuffled_labels_cannot_be_told():
    """Nothing of the test labels reaches the training: on noise every baseline guesses."""
    _, graphs, folds = built("vacancy", "2x2", hosts=100)
    rng = np.random.default_rng(0)
    noise = folds.assign(label=rng.permutation(folds["label"].to_numpy()))
    found = baselines.row(
        "composition",
        "host",
        baselines.predict("composition", graphs, noise, "2x2"),
        "vacancy",
        "2x2",
        1000,
    )
    assert found["accuracy_low"] < 0.5 < found["accuracy_high"]


def test_random_split_puts_hosts_on_both_sides_and_the_host_split_never():
    _, graphs, folds = built("vacancy", "2x2")
    host = baselines.predict("majority", graphs, folds, "2x2", "host")
    random = baselines.predict("majority", graphs, folds, "2x2", "random")
    assert host.groupby("formula")["fold"].nunique().max() == 1
    assert random.groupby("host")["fold"].nunique().max() > 1
    assert random["fold"].nunique() == host["fold"].nunique()


def test_what_a_split_leaves_out_is_not_trained_on_either():
    _, graphs, folds = built("substitution", "2x2")
    usual = baselines.predict("composition", graphs, folds, "2x2")
    others = {(0, number): np.flatnonzero(folds["fold"] != number) for number in range(4)}
    same = baselines.predict("composition", graphs, folds, "2x2", trained=others)
    pd.testing.assert_frame_equal(same, usual)
    # nothing defective is left to train on in fold 2
    others[0, 2] = np.flatnonzero((folds["fold"] != 2) & (folds["label"] == 0))
    found = baselines.predict("composition", graphs, folds, "2x2", trained=others)
    assert (found.loc[found["fold"] == 2, "probability"] == 0).all()
    pd.testing.assert_frame_equal(found[found["fold"] != 2], usual[usual["fold"] != 2])


def test_folds_of_other_structures_are_refused():
    _, graphs, folds = built("vacancy", "2x2", hosts=8)
    with pytest.raises(DefectpoolError, match="other structures"):
        baselines.predict("majority", graphs, folds.assign(structure="x"), "2x2")
    with pytest.raises(DefectpoolError, match="unknown"):
        baselines.predict("oracle", graphs, folds, "2x2")
    with pytest.raises(DefectpoolError, match="unknown"):
        baselines.predict("majority", graphs, folds, "2x2", "none")
