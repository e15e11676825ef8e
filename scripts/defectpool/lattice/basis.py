"""Basis of a host: what sits where in its primitive cell, in spite of defects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Crystal, Floats, Ints, PeriodicTree, shortest, wrapped
from .primitive import Lattice
from .translations import spread

RADIUS = 0.8  # Å; atoms of one site lie this near its center
SMALLEST_RADIUS = 0.2  # Å
SAME_SITE = 0.75  # Å; clusters of different species this near share a site if their counts allow
SAMPLE = 4000  # atoms that are folded


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


@dataclass
class _Cluster:
    label: int
    center: Floats
    count: float


def find_basis(crystal: Crystal, lattice: Lattice) -> Basis:
    """Basis of the lattice that most atoms agree with.

    All atoms are folded into the primitive cell, where those of one site of the host form a
    cluster. Sites are the clusters of most cells; where species share a site, the majority has it.
    """
    rows = spread(len(crystal.numbers), SAMPLE)
    species, labels = np.unique(crystal.numbers[rows], return_inverse=True)
    scaled = wrapped(crystal.positions[rows] @ np.linalg.inv(lattice.cell), crystal.pbc)
    cells = lattice.size * len(rows) / len(crystal.numbers)
    found = _clusters(scaled @ lattice.cell, labels, lattice.cell, crystal.pbc, cells)
    sites = _sites(found, lattice.cell, crystal.pbc, cells)
    numbers = np.array([species[c.label] for c in sites], dtype=np.int64)
    centers = np.array([c.center for c in sites]).reshape(-1, 3)
    scaled = wrapped(centers @ np.linalg.inv(lattice.cell), crystal.pbc)
    return Basis(numbers, scaled)


def _clusters(
    points: Floats, labels: Ints, cell: Floats, pbc: np.ndarray, cells: float
) -> list[_Cluster]:
    """Clusters of folded atoms, species by species, the fullest first.

    A cluster that holds more atoms than there are cells is two sites in one: the radius shrinks.
    """
    found = []
    for label in range(labels.max(initial=-1) + 1):
        mine = points[labels == label]
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
    """Clusters of one species: the densest point first, its neighbors taken away, and so on."""
    density = PeriodicTree(points, cell, pbc, radius).count(points)
    free = np.ones(len(points), dtype=bool)
    found: list[_Cluster] = []
    for start in np.argsort(-density, kind="stable"):
        if density[start] < 0.25 * cells:
            break
        if not free[start]:
            continue
        rows = np.flatnonzero(free)
        center, members = _center(points[rows], points[start], cell, pbc, radius)
        if not len(members):
            free[start] = False
            continue
        free[rows[members]] = False
        if len(members) >= 0.25 * cells:
            found.append(_Cluster(label, center, float(len(members))))
    return found


def _center(
    points: Floats, start: Floats, cell: Floats, pbc: np.ndarray, radius: float
) -> tuple[Floats, Ints]:
    """Center of the cluster around a point, and its members: the mean of those in reach."""
    center = start
    members = np.zeros(0, dtype=np.int64)
    for _ in range(3):
        offset = shortest(points - center, cell, pbc)
        members = np.flatnonzero((offset**2).sum(axis=1) <= radius**2)
        if not len(members):
            return center, members
        center = center + np.median(offset[members], axis=0)
    offset = shortest(points[members] - center, cell, pbc)
    distance = np.linalg.norm(offset, axis=1)
    inner = distance <= 2.5 * np.median(distance) + 1e-6
    return center + offset[inner].mean(axis=0), members


def _sites(clusters: list[_Cluster], cell: Floats, pbc: np.ndarray, cells: float) -> list[_Cluster]:
    """Clusters that are sites of the host: those that, with what shares them, fill most cells."""
    sites: list[_Cluster] = []
    filling: list[float] = []
    for cluster in clusters:
        shared = _shared(cluster, sites, filling, cell, pbc, cells)
        if shared is None:
            sites.append(cluster)
            filling.append(cluster.count)
        else:
            filling[shared] += cluster.count
    return [s for s, filled in zip(sites, filling, strict=True) if filled >= 0.5 * cells]


def _shared(
    cluster: _Cluster,
    sites: list[_Cluster],
    filling: list[float],
    cell: Floats,
    pbc: np.ndarray,
    cells: float,
) -> int | None:
    """Site that a cluster shares: near it, and with no more atoms together than cells."""
    if not sites:
        return None
    offset = shortest(np.array([s.center for s in sites]) - cluster.center, cell, pbc)
    near = np.linalg.norm(offset, axis=1) < SAME_SITE
    fits = np.array(filling) + cluster.count <= 1.2 * cells
    both = np.flatnonzero(near & fits)
    return int(both[0]) if len(both) else None
