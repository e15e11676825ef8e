"""Neighbours of every site, out to the end of the shell that holds the last one wanted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

# Neighbours whose distances differ by less than this from that of the last one wanted are as far
# as it is (Å). Positions in C2DB are symmetric to 1e-10 ... 1e-2 Å without a gap in between, CIF
# files are rounded to about 1e-4 Å; so a shell is at most as wide as the distances' resolution.
TIE_TOLERANCE = 5e-4

# The first radius that is tried (Å), and what it grows by: in most crystals the 12th neighbour is
# within 5 Å, and the number of neighbours within the full 8 Å is some five times larger.
FIRST_RADIUS = 5.0
GROWTH = 1.25

_SELF = 1e-8


@dataclass(frozen=True)
class Neighbors:
    """Neighbour pairs, sorted by `target`.

    Attributes
    ----------
    target, source
        Sites: each `target` has the periodic image of `source` that is meant as a neighbour.
    distance
        Length of the bond in Å.
    shift
        Cell vectors, as whole numbers [pairs, 3], that take `source` into that image.
    """

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    distance: NDArray[np.float64]
    shift: NDArray[np.float64]


def starts(sorted_ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Offsets [count + 1] of the runs of 0 ... count - 1 in an ascending array."""
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(sorted_ids, minlength=count), out=offsets[1:])
    return offsets


def within(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.int64],
    radius: float,
    centers: NDArray[np.int64],
) -> Neighbors:
    """All neighbours of some sites within a radius, by pymatgen's neighbour list.

    Parameters
    ----------
    positions
        Cartesian positions [sites, 3] in Å.
    cell
        Cell vectors [3, 3] as rows, in Å.
    pbc
        1 for each cell vector along which the crystal repeats, else 0.
    radius
        Å.
    centers
        The sites, ascending, whose neighbours are sought.
    """
    at, source, shift, distance = find_points_in_spheres(
        positions, positions[centers], r=radius, pbc=pbc, lattice=cell, tol=_SELF
    )
    target = centers[at]
    keep = (distance > _SELF) | (target != source)
    target, source, distance, shift = target[keep], source[keep], distance[keep], shift[keep]
    if np.any(target[1:] < target[:-1]):
        order = np.argsort(target, kind="stable")
        target, source, distance = target[order], source[order], distance[order]
        shift = shift[order]
    return Neighbors(target, source, distance, shift)


def last_distance(neighbors: Neighbors, sites: int, max_neighbors: int) -> NDArray[np.float64]:
    """Distance in Å of each site's `max_neighbors`-th neighbour, infinite if it has fewer."""
    offsets = starts(neighbors.target, sites)
    counts = np.diff(offsets)
    last = np.full(sites, np.inf)
    enough = np.flatnonzero(counts >= max_neighbors)
    if len(enough):
        width = int(counts.max())
        rows = np.full((sites, width), np.inf)
        rows[neighbors.target, np.arange(len(neighbors.target)) - offsets[neighbors.target]] = (
            neighbors.distance
        )
        last[enough] = np.partition(rows[enough], max_neighbors - 1, axis=1)[:, max_neighbors - 1]
    return last


def whole_shells(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.int64],
    radius: float,
    max_neighbors: int,
) -> tuple[Neighbors, NDArray[np.float64]]:
    """Neighbours of every site up to the whole shell of the `max_neighbors`-th one.

    Searched within a small radius first, then for the sites that lack neighbours within larger
    ones. A site with fewer neighbours within `radius` keeps those it has, maybe none.

    Parameters
    ----------
    positions, cell, pbc
        The crystal, as in `within`.
    radius
        Cutoff radius in Å.
    max_neighbors
        Neighbours wanted.

    Returns
    -------
    neighbors
        Sorted by target.
    last
        Distance in Å of the `max_neighbors`-th neighbour [sites], infinite where there is none.
    """
    sites = len(positions)
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    pbc = np.ascontiguousarray(pbc, dtype=np.int64)
    reach = min(FIRST_RADIUS, radius)
    centers = np.arange(sites)
    last = np.full(sites, np.inf)
    parts: list[Neighbors] = []
    while True:
        found = within(positions, cell, pbc, reach, centers)
        reached = last_distance(found, sites, max_neighbors)
        done = reached + TIE_TOLERANCE <= reach
        if reach >= radius:
            done[centers] = True
        last[done] = reached[done]
        keep = done[found.target]
        keep &= found.distance <= last[found.target] + TIE_TOLERANCE
        parts.append(
            Neighbors(
                found.target[keep], found.source[keep], found.distance[keep], found.shift[keep]
            )
        )
        centers = centers[~done[centers]]
        if not len(centers):
            break
        reach = min(reach * GROWTH, radius)
    if len(parts) == 1:
        return parts[0], last
    joined = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("target", "source", "distance", "shift")
    ]
    order = np.argsort(joined[0], kind="stable")
    return Neighbors(*(values[order] for values in joined)), last
