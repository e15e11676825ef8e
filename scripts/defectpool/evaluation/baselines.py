"""Baselines that see only the composition and the number of atoms, not the graph.

They are evaluated on the same structures and folds as the networks. A defect changes the
composition of a supercell, so a classifier can infer the label from it; the baselines measure how
much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.runtime.hashing import seed as seed_of
from defectpool.supercell_labels import cells

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Indices of the graphs that networks were trained and validated on, by repeat and fold.
Trained = Mapping[tuple[int, int], Integers]
# Which structures a fold trains on.
Seen = Mapping[int, NDArray[np.bool_]]

TREES = 100


def compositions(graphs: GraphSet) -> NDArray[np.int64]:
    """Composition of each structure: number of atoms by atomic number, [structures, 119]."""
    crystal = np.repeat(np.arange(len(graphs.label)), np.diff(graphs.node_offset))
    counts = np.zeros((len(graphs.label), 119), dtype=np.int64)
    np.add.at(counts, (crystal, np.asarray(graphs.atomic_number)), graphs.node_multiplicity)
    return counts


def features(counts: NDArray[np.int64]) -> Floats:
    """Features of a composition: number of atoms and element fractions.

    Parameters
    ----------
    counts
        Atoms of each element, [structures, 119].

    Returns
    -------
    array
        [structures, 1 + number of elements that occur].
    """
    total = counts.sum(axis=1, keepdims=True)
    occurring = counts.any(axis=0)
    return np.hstack([total, counts[:, occurring] / total]).astype(np.float64)


def predict(
    baseline: str,
    graphs: GraphSet,
    folds: pd.DataFrame,
    supercell: str,
    split: str = "host",
    seed: int = 0,
    trained: Trained | None = None,
) -> pd.DataFrame:
    """Predictions of a baseline, in the layout of those of a network.

    Parameters
    ----------
    baseline
        `majority`: the more frequent label of the training structures.
        `composition`: a random forest on element fractions and number of atoms.
        `divisibility`: no training; a supercell of m cells is called pristine if m divides the
        number of atoms of each element.
    graphs
        The structures.
    folds
        Predictions of any run on these structures; its repeats and folds are used.
    supercell
        Label of the supercell.
    split
        `host`: these folds. `random`: as many folds of randomly assigned structures, so that
        hosts, pairs and polymorphs are on both sides.
    seed
        Seed of the forest and of the random split.
    trained
        Graphs that the networks of each repeat and fold were trained or validated on; by default
        all of the other folds. The splits by element and by prototype leave out some of them.

    Raises
    ------
    DefectpoolError
        The folds are of other structures, or the baseline or split is unknown.
    """
    if baseline not in BASELINES:
        raise DefectpoolError(f"baseline {baseline!r} is unknown: choose from {list(BASELINES)}")
    index = pd.Series(np.arange(len(graphs.label)), index=np.asarray(graphs.structure).astype(str))
    if not folds["structure"].isin(index.index).all():
        raise DefectpoolError(
            "the predictions are of other structures than the graphs; train again"
        )
    counts = compositions(graphs)
    parts = []
    for repeat in sorted(folds["repeat"].unique().tolist()):
        part = folds[folds["repeat"] == repeat]
        indices = index.loc[part["structure"]].to_numpy()
        fold = part["fold"].to_numpy()
        if split == "random":
            rng = np.random.default_rng(seed_of("random split", seed, repeat))
            fold = rng.permutation(len(indices)) % (fold.max() + 1)
        elif split != "host":
            raise DefectpoolError(f"split {split!r} is unknown: choose host or random")
        seen = {number: fold != number for number in np.unique(fold)}
        if trained and split == "host":
            seen = {number: np.isin(indices, trained[repeat, number]) for number in seen}
        probability = BASELINES[baseline](
            counts[indices], part["label"].to_numpy(), fold, seen, cells(supercell), seed
        )
        parts.append(part.assign(fold=fold, probability=probability))
    found = pd.concat(parts).reset_index(drop=True)
    return found.assign(probability_best_epoch=found["probability"])


def row(
    baseline: str, split: str, predictions: pd.DataFrame, defect: str, supercell: str,
    resamples: int,
) -> dict[str, Any]:  # fmt: skip
    """Row of `results/baselines.csv`."""
    return {
        "defect": defect,
        "supercell": supercell,
        "baseline": baseline,
        "split": split,
        **statistics.accuracy(predictions, resamples).columns("accuracy"),
        **statistics.counts(predictions),
        "n_undecided": 0,
    }


def every_row(
    graphs: GraphSet,
    folds: pd.DataFrame,
    defect: str,
    supercell: str,
    resamples: int,
    trained: Trained | None = None,
) -> list[dict[str, Any]]:
    """Rows of `results/baselines.csv` for one defect and supercell."""
    return [
        row(
            baseline, split, predict(baseline, graphs, folds, supercell, split, trained=trained),
            defect, supercell, resamples,
        )
        for baseline, split in (
            ("majority", "host"),
            ("composition", "host"),
            ("composition", "random"),
            ("divisibility", "host"),
        )
    ]  # fmt: skip


def _majority(
    counts: Integers, labels: Integers, fold: Integers, seen: Seen, _: int, seed: int
) -> Floats:
    from sklearn.dummy import DummyClassifier

    return _cross_validated(counts, labels, fold, seen, lambda: DummyClassifier(strategy="prior"))


def _composition(
    counts: Integers, labels: Integers, fold: Integers, seen: Seen, _: int, seed: int
) -> Floats:
    from sklearn.ensemble import RandomForestClassifier

    state = seed_of("forest", seed) % 2**32
    return _cross_validated(
        features(counts),
        labels,
        fold,
        seen,
        lambda: RandomForestClassifier(TREES, random_state=state, n_jobs=1),
    )


def _divisibility(
    counts: Integers, _: Integers, __: Integers, ___: Seen, size: int, seed: int
) -> Floats:
    return (counts % size != 0).any(axis=1).astype(np.float64)


def _cross_validated(
    features: NDArray[Any],
    labels: Integers,
    fold: Integers,
    seen: Seen,
    make: Callable[[], Any],
) -> Floats:
    probability = np.full(len(labels), np.nan)
    for one in np.unique(fold):
        test = fold == one
        classifier = make().fit(features[seen[one]], labels[seen[one]])
        classes = list(classifier.classes_)
        probability[test] = (
            classifier.predict_proba(features[test])[:, classes.index(1)] if 1 in classes else 0.0
        )
    return probability


BASELINES: dict[str, Callable[..., Floats]] = {
    "majority": _majority,
    "composition": _composition,
    "divisibility": _divisibility,
}
