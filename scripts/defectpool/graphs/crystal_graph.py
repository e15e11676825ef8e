"""Crystal graphs: each site receives from its nearest neighbors, or from all within a radius.

Source: Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018): the 12 nearest neighbors within
8 Å. Where the 12th stands in a shell of equal distances, the published code keeps those that come
first in the list of atoms. Here the choice depends on the environments of the atoms, not on their
order. Where atoms are displaced, the 12 nearest change from cell to cell; all neighbors within
some 5 Å do not.
"""

import os
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.graphs.compression import Quotient, compress, side_by_side, uncompressed
from defectpool.graphs.elements import unknown_elements
from defectpool.graphs.neighbors import (
    TIE_TOLERANCE,
    Crystal,
    Neighbors,
    all_neighbors,
    displacements,
    first_sites,
    starts,
    whole_shells,
)
from defectpool.graphs.refinement import environments

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

# Fractional part of the golden ratio: it puts the edges between bins as far from all short
# decimals (3.16, 3.1605 Å) as they can be, so that rounding does not split what is equal.
PHASE = 0.6180339887498949

# Rounds of color refinement that order neighbors within a shell, each one neighbor further away.
ORDER_ROUNDS = 3

# Displacements are compared in steps of this (Å), the last resort between equal environments.
_STEP = 0.01


def read_cif(path: str | os.PathLike[str]) -> Crystal:
    """Read an ordered crystal from a CIF file, periodic along all three cell vectors.

    Raises
    ------
    DefectpoolError
        If the file is missing, is no CIF, or has disordered sites or elements without features.
    """
    from pymatgen.core import Structure

    if not Path(path).is_file():
        raise DefectpoolError(f"{path}: there is no such CIF file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rounded coordinates, and the like
            structure = Structure.from_file(str(path))
    except Exception as error:  # pymatgen raises what comes
        raise DefectpoolError(f"{path} cannot be read as a CIF file: {error}") from error
    return crystal(structure, name=str(path), pbc=(True, True, True))


def crystal(
    structure: "Atoms | Structure",
    name: str = "the structure",
    pbc: Sequence[bool] | None = None,
) -> Crystal:
    """Take from a structure what a graph is made from.

    Parameters
    ----------
    structure
        ASE `Atoms` or a pymatgen `Structure`.
    name
        What messages call it.
    pbc
        Cell vectors along which it repeats; None for those that the structure says.

    Raises
    ------
    DefectpoolError
        If it has disordered sites or elements without features.
    """
    from ase import Atoms

    if isinstance(structure, Atoms):
        numbers, positions = structure.numbers, structure.positions
        cell, own = structure.cell.array, structure.pbc
    else:
        if not structure.is_ordered:
            raise DefectpoolError(
                f"{name} has sites that are partly occupied; give an ordered cell"
            )
        numbers, positions = structure.atomic_numbers, structure.cart_coords
        cell, own = structure.lattice.matrix, structure.lattice.pbc
    unknown = unknown_elements(np.asarray(numbers))
    if unknown:
        raise DefectpoolError(f"{name}: no features for the atomic numbers {unknown}")
    return Crystal(
        numbers=np.array(numbers, dtype=np.int64),
        positions=np.array(positions, dtype=np.float64),
        cell=np.array(cell, dtype=np.float64),
        pbc=np.array(own if pbc is None else pbc, dtype=np.int64),
    )


def distance_bins(distance: NDArray[np.float64], distance_tolerance: float) -> NDArray[np.int64]:
    """Bin of each distance; bins are `distance_tolerance` wide, both in Å."""
    return np.floor(distance / distance_tolerance + PHASE).astype(np.int64)


def bin_distances(bins: NDArray[np.int64], distance_tolerance: float) -> NDArray[np.float64]:
    """Distance in Å at the center of each bin."""
    return np.asarray((bins - PHASE + 0.5) * distance_tolerance, dtype=np.float64)


def edges_of(
    crystals: Sequence[Crystal],
    radius: float,
    max_neighbors: int | None,
    shells: Literal["truncated", "complete"],
    distance_tolerance: float,
) -> Neighbors:
    """Edges of the graphs of some crystals, their sites numbered on from one to the next.

    Parameters
    ----------
    crystals
        One or more.
    radius
        Cutoff radius in Å.
    max_neighbors
        Neighbors of each site; fewer where there are not so many within `radius`; None for all.
    shells
        "truncated" for exactly `max_neighbors`, "complete" for the whole shell of the last one.
    distance_tolerance
        Width of the distance bins in Å by which environments are compared (truncated shells).

    Returns
    -------
    Neighbors
        Sorted by target; distances not rounded.
    """
    if max_neighbors is None:
        return all_neighbors(crystals, radius)
    complete, last = whole_shells(crystals, radius, max_neighbors)
    if shells == "complete":
        return complete
    return truncate(crystals, complete, last, max_neighbors, distance_tolerance)


def truncate(
    crystals: Sequence[Crystal],
    shells: Neighbors,
    last: NDArray[np.float64],
    max_neighbors: int,
    distance_tolerance: float,
) -> Neighbors:
    """Truncate complete shells to `max_neighbors` neighbors.

    Nearer shells are kept. Of the last shell (distances equal within `TIE_TOLERANCE`) those are
    taken whose atomic number is smallest, then those whose environment comes first in an order
    that is arbitrary but fixed: one, two, ... bonds deep, so that a defect far away does not
    change the choice among neighbors that differ nearby. Neighbors that are equal in all this
    are taken by their displacement (x, y, z), which alone depends on the crystal's orientation.

    Parameters
    ----------
    crystals
        The crystals.
    shells, last
        Their complete shells and distances of the last neighbors wanted, by `whole_shells`.
    max_neighbors, distance_tolerance
        As in `edges_of`.
    """
    sites = len(last)
    counts = np.bincount(shells.target, minlength=sites)
    tied = counts > max_neighbors
    if not tied.any():
        return shells
    numbers = np.concatenate([crystal.numbers for crystal in crystals])
    bins = distance_bins(shells.distance, distance_tolerance)
    colors = environments(numbers, shells.target, shells.source, bins, ORDER_ROUNDS)
    # 8 bits of the element, then 18 to 19 of each round's hash: what differs early is what counts,
    # and two hashes that begin alike only leave the choice to the next key.
    rank = numbers.astype(np.uint64) << np.uint64(56)
    for color, bits, shift in zip(colors[1:], (18, 19, 19), (38, 19, 0), strict=True):
        rank |= (color >> np.uint64(64 - bits)) << np.uint64(shift)
    first_tied = np.where(tied, last - TIE_TOLERANCE, np.inf)
    shell = np.flatnonzero(shells.distance >= first_tied[shells.target])
    candidates = shells[shell]
    steps = np.floor(displacements(crystals, candidates) / _STEP + PHASE)
    x, y, z = steps.T
    order = np.lexsort((z, y, x, rank[candidates.source], candidates.target))
    target = candidates.target[order]
    in_shell = np.bincount(target, minlength=sites)
    place = np.arange(len(target)) - (np.cumsum(in_shell) - in_shell)[target]
    keep = np.ones(len(shells.target), dtype=bool)
    keep[shell[order[place >= (max_neighbors - counts + in_shell)[target]]]] = False
    return shells[np.flatnonzero(keep)]


def quotients(
    crystals: Sequence[Crystal],
    radius: float,
    max_neighbors: int | None,
    shells: Literal["truncated", "complete"],
    distance_tolerance: float,
    rounds: int | None,
) -> Quotient:
    """Graphs of some crystals as one graph of classes (or of sites), side by side.

    Parameters
    ----------
    crystals, radius, max_neighbors, shells, distance_tolerance
        As in `edges_of`.
    rounds
        Number of convolutions for which the compression has to be exact; None for none, where
        every site is a class. Crystals in which no site repeats another are not refined: the
        result is the same.
    """
    edges = edges_of(crystals, radius, max_neighbors, shells, distance_tolerance)
    bins = distance_bins(edges.distance, distance_tolerance)
    numbers = np.concatenate([crystal.numbers for crystal in crystals])
    if rounds is None:
        return uncompressed(len(numbers), edges.target, edges.source, bins)
    first, ends = first_sites(crystals), starts(edges.target, len(numbers))
    graph = np.repeat(np.arange(len(crystals)), np.diff(first))
    irregular = no_site_repeats(graph, numbers, edges, bins) & (rounds > 0)
    change = np.flatnonzero(np.diff(irregular)) + 1
    parts = []
    for low, high in pairwise([0, *change.tolist(), len(crystals)]):
        begin, end = first[low], first[high]
        of_run = slice(ends[begin], ends[end])
        pairs = edges.target[of_run] - begin, edges.source[of_run] - begin, bins[of_run]
        if irregular[low]:
            parts.append(compress(np.arange(end - begin), *pairs, rounds=0))
        else:
            colors = graph[begin:end] * 128 + numbers[begin:end]
            parts.append(compress(colors, *pairs, rounds))
    return side_by_side(parts)


def no_site_repeats(
    graph: NDArray[np.int64],
    numbers: NDArray[np.int64],
    edges: Neighbors,
    bins: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether all sites of a crystal differ after one round of refinement [crystals].

    So it is wherever atoms are displaced. Sites whose hashes differ do differ, which makes this
    exact: hashes that collide only lead to a refinement that was not needed.

    Parameters
    ----------
    graph, numbers
        Crystal and atomic number of each site.
    edges, bins
        Their edges, and the distance bin of each.
    """
    _, hashes = environments(numbers, edges.target, edges.source, bins, 1)
    order = np.lexsort((hashes, graph))
    hashes, graph = hashes[order], graph[order]
    repeats = (hashes[1:] == hashes[:-1]) & (graph[1:] == graph[:-1])
    return np.asarray(np.bincount(graph[1:][repeats], minlength=graph[-1] + 1) == 0)
