"""Translations of the host: shifts that carry most atoms onto like atoms.

A defective crystal still has the translations of its host. A difference between two like atoms is
a candidate; its score is the mean over all atoms of 1 - (r / TOLERANCE)², where r is the distance
by which an atom that is shifted by it misses the nearest like atom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectpool.lattice.geometry import Crystal, Floats, Ints, PeriodicTree, shortest

TOLERANCE = 0.8  # Å; displacements of 0.2 Å along each axis part two atoms by 0.5 Å
REFERENCES = 3  # atoms of a species whose differences to others are tried
NEAREST = 150  # like atoms around each of them
PROBES = 24  # atoms on which a candidate is tried first
COARSE = 72  # atoms on which it is refined at first
SAMPLE = 600  # atoms on which it is refined
LARGE_SAMPLE = 5000  # the same in a large cell, where small errors add up over many repeats
BEST = 60  # candidates that are refined on these
PROMISING = 0.25  # lowest score that is refined


@dataclass(frozen=True)
class Translations:
    """Shifts in falling order of their scores.

    Attributes
    ----------
    vectors
        In Å, [m, 3].
    scores
        1 for an exact translation of all atoms, 0 for one that carries none, [m].
    """

    vectors: Floats
    scores: Floats


def find_translations(crystal: Crystal) -> Translations:
    """Host translations: shifts that carry atoms onto like atoms, refined, best first."""
    labels = crystal.labels
    tree = PeriodicTree(crystal.positions, crystal.cell, crystal.pbc, TOLERANCE, labels)
    vectors = _candidates(crystal, labels)
    if len(vectors):
        probes = spread(len(labels), PROBES)
        scores, vectors = _score(tree, crystal, labels, probes, vectors)
        vectors = vectors[scores >= PROMISING]
    if not len(vectors):
        return Translations(np.zeros((0, 3)), np.zeros(0))
    for count in (COARSE, SAMPLE) if len(labels) <= SAMPLE else (SAMPLE, SAMPLE, LARGE_SAMPLE):
        if count == LARGE_SAMPLE:
            vectors = vectors[np.argsort(-scores, kind="stable")[:BEST]]
        sample = spread(len(labels), count)
        scores, vectors = _score(tree, crystal, labels, sample, _distinct(vectors))
    order = np.lexsort((np.round(np.linalg.norm(vectors, axis=1), 2), -np.round(scores, 3)))
    return Translations(vectors[order], scores[order])


def spread(n: int, count: int) -> Ints:
    """Rows spread evenly over n, at most `count`."""
    return np.unique(((np.arange(min(n, count)) + 0.5) * n / min(n, count)).astype(np.int64))


def _candidates(crystal: Crystal, labels: Ints) -> Floats:
    """Differences between like atoms, [m, 3], of all species that occur twice."""
    found = [np.zeros((0, 3))]
    for label in range(labels.max(initial=-1) + 1):
        like = crystal.positions[labels == label]
        for row in spread(len(like), REFERENCES):
            difference = shortest(like - like[row], crystal.cell, crystal.pbc)
            length = np.linalg.norm(difference, axis=1)
            near = np.argsort(length, kind="stable")[: NEAREST + 1]
            found.append(difference[near[length[near] > TOLERANCE]])
    return _distinct(_within_periodic(np.concatenate(found), crystal))


def _within_periodic(vectors: Floats, crystal: Crystal) -> Floats:
    """Vectors that lie along the periodic axes but for the tolerance, projected onto these."""
    span = crystal.cell[crystal.pbc]
    if len(span) == 3:
        return vectors
    projected = vectors @ np.linalg.pinv(span) @ span
    return projected[np.linalg.norm(vectors - projected, axis=1) < TOLERANCE]


def _distinct(vectors: Floats) -> Floats:
    """One of each group of vectors that agree, or are opposite, to about half the tolerance."""
    sign = np.sign(np.round(vectors, 1) @ np.array([1.0, 1e-3, 1e-6]))
    halved = vectors * np.where(sign < 0, -1.0, 1.0)[:, None]
    cells = np.round(halved / (TOLERANCE / 2)).astype(np.int64)
    return halved[np.sort(np.unique(cells, axis=0, return_index=True)[1])]


def _score(
    tree: PeriodicTree, crystal: Crystal, labels: Ints, rows: Ints, vectors: Floats
) -> tuple[Floats, Floats]:
    """Scores [m] of vectors on some atoms, and the vectors moved by their mean miss."""
    shifted = crystal.positions[rows] + vectors[:, None, :]
    found, miss = tree.nearest(shifted.reshape(-1, 3), np.tile(labels[rows], len(vectors)))
    hit = (found >= 0).reshape(len(vectors), -1)
    miss = np.where(hit[..., None], miss.reshape(*hit.shape, 3), 0.0)
    drift = miss.sum(axis=1) / np.maximum(hit.sum(axis=1), 1)[:, None]
    rest = np.where(hit, ((miss - drift[:, None, :]) ** 2).sum(axis=2), TOLERANCE**2)
    scores = np.clip(1 - rest / TOLERANCE**2, 0, None).mean(axis=1)
    span = crystal.cell[crystal.pbc]
    moved = vectors + (drift @ np.linalg.pinv(span) @ span if len(span) < 3 else drift)
    return scores, moved
