"""Neighbors of every site: all, or out to the end of the shell that holds the last one wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

# Neighbors whose distances differ by less than this from that of the last one wanted are as far
# as it is (Å). Positions in C2DB are symmetric to 1e-10 ... 1e-2 Å without a gap in between, CIF
# files are rounded to about 1e-4 Å; so a shell is at
# most as wide as the tolerance of distances.
TIE_TOLERANCE = 5e-4

# The first radius that is tried (Å), and what it grows by: in most crystals the 12th neighbor is
# within 5 Å, and the number of neighbors within the full 8 Å is some five times larger.
FIRST_RADIUS = 5.0
GROWTH = 1.25

_SELF = 1e-8


@dataclass(frozen=True)
class Crystal:
    """What a graph is made from.

    Attributes
    ----------
    numbers
        Atomic numbers [sites].
    positions
        Cartesian positions [sites, 3] in Å, inside the cell or not.
    cell
        Cell vectors [3, 3] as rows, in Å.
    pbc
        1 for each cell vector along which the crystal repeats, else 0.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.int64]


@dataclass(frozen=True)
class Neighbors:
    """Neighbor pairs of one or more crystals, whose sites are numbered on; sorted by `target`.

    Attributes
    ----------
    target, source
        Sites: each `target` has a periodic image of `source` as a neighbor.
    distance
        Å, not rounded.
    shift
        Cell vectors, as whole numbers [pairs, 3], that take `source` into that image.
    """

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    distance: NDArray[np.float64]
    shift: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Neighbors":
        """Take some of the pairs."""
        return Neighbors(
            self.target.take(chosen),
            self.source.take(chosen),
            self.distance.take(chosen),
            self.shift.take(chosen, axis=0),
        )


def first_sites(crystals: Sequence[Crystal]) -> NDArray[np.int64]:
    """Offsets [crystals + 1] of the crystals' sites when these are numbered on."""
    return np.concatenate([[0], np.cumsum([len(crystal.numbers) for crystal in crystals])])


def starts(sorted_ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Offsets [count + 1] of the runs of 0 ... count - 1 in an ascending array."""
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(sorted_ids, minlength=count), out=offsets[1:])
    return offsets


def within(
    crystals: Sequence[Crystal], radius: float, centers: NDArray[np.int64] | None = None
) -> Neighbors:
    """All neighbors within a radius, by pymatgen's neighbor list; each site finds itself, too.

    Parameters
    ----------
    crystals
        The crystals.
    radius
        Å.
    centers
        The sites, ascending, whose neighbors are sought; None for all.
    """
    first = first_sites(crystals)
    if centers is None:
        centers = np.arange(first[-1])
    bounds = np.searchsorted(centers, first).tolist()
    found, counts = [], []
    for crystal, begin, (low, high) in zip(
        crystals, first.tolist(), pairwise(bounds), strict=False
    ):
        if low == high:
            counts.append(0)
            continue
        positions = np.ascontiguousarray(crystal.positions, dtype=np.float64)
        here = positions if high - low == len(positions) else positions[centers[low:high] - begin]
        found.append(
            find_points_in_spheres(
                positions,
                here,
                r=radius,
                pbc=np.ascontiguousarray(crystal.pbc, dtype=np.int64),
                lattice=np.ascontiguousarray(crystal.cell, dtype=np.float64),
                tol=_SELF,
            )
        )
        counts.append(len(found[-1][0]))
    at, source, shift, distance = (np.concatenate(values) for values in zip(*found, strict=True))
    at += np.repeat(bounds[:-1], counts)
    source += np.repeat(first[:-1], counts)
    pairs = Neighbors(centers[at], source, distance, shift)
    if np.any(pairs.target[1:] < pairs.target[:-1]):
        pairs = pairs[np.argsort(pairs.target, kind="stable")]
    return pairs


def all_neighbors(crystals: Sequence[Crystal], radius: float) -> Neighbors:
    """All neighbors of every site within a radius in Å, sorted by target, without the site."""
    found = within(crystals, radius)
    return found[np.flatnonzero((found.distance > _SELF) | (found.source != found.target))]


def nth_distance(pairs: Neighbors, sites: int, n: int) -> NDArray[np.float64]:
    """Distance in Å of the n-th pair of each site, counted from 1; infinite if it has fewer."""
    offsets = starts(pairs.target, sites)
    counts = np.diff(offsets)
    nth = np.full(sites, np.inf)
    enough = np.flatnonzero(counts >= n)
    if len(enough):
        rows = np.full((sites, int(counts.max())), np.inf)
        rows[pairs.target, np.arange(len(pairs.target)) - offsets[pairs.target]] = pairs.distance
        nth[enough] = np.partition(rows[enough], n - 1, axis=1)[:, n - 1]
    return nth


def whole_shells(
    crystals: Sequence[Crystal], radius: float, max_neighbors: int
) -> tuple[Neighbors, NDArray[np.float64]]:
    """Neighbors of every site up to the whole shell of the `max_neighbors`-th one.

    Searched within a small radius first, then for the sites that lack neighbors within larger
    ones. A site with fewer neighbors within `radius` keeps those it has, maybe none.

    Parameters
    ----------
    crystals
        The crystals.
    radius
        Cutoff radius in Å.
    max_neighbors
        Neighbors wanted.

    Returns
    -------
    neighbors
        Sorted by target.
    last
        Distance in Å of the `max_neighbors`-th neighbor [sites], infinite where there is none.
    """
    sites = int(first_sites(crystals)[-1])
    reach = min(FIRST_RADIUS, radius)
    last = np.full(sites, np.inf)
    centers = np.arange(sites)
    parts: list[Neighbors] = []
    while len(centers):
        found = within(crystals, reach, centers)
        reached = nth_distance(found, sites, max_neighbors + 1)  # the first one is the site itself
        done = reached + TIE_TOLERANCE <= reach
        if reach >= radius:
            done[centers] = True
        last[done] = reached[done]
        beyond = np.where(done, last + TIE_TOLERANCE, -1.0)
        keep = found.distance <= beyond[found.target]
        keep &= (found.distance > _SELF) | (found.source != found.target)
        parts.append(found[np.flatnonzero(keep)])
        centers = centers[~done[centers]]
        reach = min(reach * GROWTH, radius)
    if len(parts) == 1:
        return parts[0], last
    joined = Neighbors(
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.source for part in parts]),
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.shift for part in parts]),
    )
    return joined[np.argsort(joined.target, kind="stable")], last


def displacements(crystals: Sequence[Crystal], neighbors: Neighbors) -> NDArray[np.float64]:
    """Vectors [pairs, 3] in Å from each target to the neighbor."""
    positions = np.concatenate([crystal.positions for crystal in crystals])
    cells = np.stack([crystal.cell for crystal in crystals])
    crystal = np.searchsorted(first_sites(crystals), neighbors.target, side="right") - 1
    image = np.einsum("pi,pij->pj", neighbors.shift, cells[crystal])
    return positions[neighbors.source] - positions[neighbors.target] + image
