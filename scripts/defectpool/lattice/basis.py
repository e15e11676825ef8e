"""Basis of a host: what sits where in its primitive cell, in spite of defects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectpool.lattice.geometry import Crystal, Floats, Ints, PeriodicTree, wrapped
from defectpool.lattice.primitive import Lattice
from defectpool.lattice.translations import spread

RADIUS = 0.8  # Å; atoms of one site lie this near its center
SMALLEST_RADIUS = 0.2  # Å
SAME_SITE = 0.75  # Å; clusters of different species this near share a site if their counts allow
SAMPLE = 60  # atoms a site that are folded
LEAST = 0.25  # share of the cells in which a cluster has an atom


@dataclass(frozen=True)
class Basis:
    """Sites of a primitive cell.

    Attributes
    ----------
    numbers
        Atomic number of the majority, [b].
    scaled
        Fractional positions, [b, 3].
    """

    numbers: Ints
    scaled: Floats


@dataclass(frozen=True)
class _Cluster:
    label: int
    center: Floats
    count: int


def find_basis(crystal: Crystal, lattice: Lattice) -> Basis:
    """Basis of the lattice that most atoms agree with.

    All atoms are folded into the primitive cell, where those of one site of the host form a
    cluster. Sites are the clusters of most cells; where species share a site, the majority has it.
    """
    n = len(crystal.numbers)
    rows = spread(n, max(500, SAMPLE * n // lattice.size))
    species, labels = np.unique(crystal.numbers[rows], return_inverse=True)
    cells = lattice.size * len(rows) / n
    found = _clusters(crystal.positions[rows], labels, lattice.cell, crystal.pbc, cells)
    sites = _sites(found, lattice.cell, crystal.pbc, cells)
    numbers = np.array([species[c.label] for c in sites], dtype=np.int64)
    centers = np.array([c.center for c in sites]).reshape(-1, 3)
    return Basis(numbers, wrapped(centers @ np.linalg.inv(lattice.cell), crystal.pbc))


def _clusters(
    points: Floats, labels: Ints, cell: Floats, pbc: np.ndarray, cells: float
) -> list[_Cluster]:
    """Clusters of folded atoms, species by species, the fullest first.

    A cluster that holds more atoms than there are cells is two sites in one: the radius shrinks.
    """
    found: list[_Cluster] = []
    for label in range(labels.max(initial=-1) + 1):
        mine = points[labels == label]
        if len(mine) < LEAST * cells:
            continue
        radius = RADIUS
        while True:
            clusters = _clusters_of_one(mine, label, cell, pbc, cells, radius)
            crowded = any(c.count > 1.3 * cells + 0.5 for c in clusters)
            if not crowded or radius * 0.75 < SMALLEST_RADIUS:
                break
            radius *= 0.75
        found.extend(clusters)
    return sorted(found, key=lambda c: -c.count)


def _clusters_of_one(
    points: Floats, label: int, cell: Floats, pbc: np.ndarray, cells: float, radius: float
) -> list[_Cluster]:
    """Clusters of one species: the densest point first, what is near it taken away, and so on."""
    tree = PeriodicTree(points, cell, pbc, radius)
    density = tree.count(tree.points)
    free = np.ones(len(points), dtype=bool)
    found: list[_Cluster] = []
    for start in np.argsort(-density, kind="stable"):
        if density[start] < LEAST * cells:
            break
        if not free[start]:
            continue
        center, members = _center(tree, tree.points[start], free)
        free[members] = False
        free[start] = False
        if len(members) >= LEAST * cells:
            found.append(_Cluster(label, center, len(members)))
    return found


def _center(tree: PeriodicTree, start: Floats, free: np.ndarray) -> tuple[Floats, Ints]:
    """Center of the cluster around a point, and its members: the mean of those in reach."""
    center = start
    for _ in range(2):
        rows, offset = tree.around(center)
        inside = free[rows]
        rows, offset = rows[inside], offset[inside]
        if not len(rows):
            return start, rows
        center = center + _robust_mean(offset)
    return center, np.unique(rows)


def _robust_mean(offset: Floats) -> Floats:
    """Mean of offsets, [3], without those that lie far beyond the middle one."""
    coarse = offset.sum(axis=0) / len(offset)
    distance = np.sqrt(((offset - coarse) ** 2).sum(axis=1))
    inner = distance <= 2.5 * np.sort(distance)[len(distance) // 2] + 1e-6
    return offset[inner].sum(axis=0) / inner.sum()


def _sites(clusters: list[_Cluster], cell: Floats, pbc: np.ndarray, cells: float) -> list[_Cluster]:
    """Clusters that are sites of the host: those that, with what shares them, fill most cells.

    A cluster shares the site of a fuller one that is near if both have no more atoms together
    than there are cells; O and H of a hydroxide are near, but have twice as many.
    """
    if not clusters:
        return []
    centers = np.array([c.center for c in clusters])
    near = PeriodicTree(centers, cell, pbc, SAME_SITE)
    filling = np.array([c.count for c in clusters], dtype=float)
    is_site = np.ones(len(clusters), dtype=bool)
    for row in np.flatnonzero(near.count(centers) > 1):
        others = np.unique(near.around(centers[row])[0])
        for site in others[(others < row) & is_site[others]]:
            if filling[site] + filling[row] <= 1.2 * cells:
                filling[site] += filling[row]
                is_site[row] = False
                break
    return [clusters[row] for row in np.flatnonzero(is_site & (filling >= 0.5 * cells))]
