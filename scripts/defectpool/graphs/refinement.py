"""Color refinement (Weisfeiler-Leman) of crystal graphs.

Source: Weisfeiler and Leman, 1968. After round r two sites have equal colors if they had equal
colors after round r - 1 and equal multisets of (color of the neighbor after round r - 1, distance).
Three things rest on it: the compression of a graph (`graphs.compression`), what the graphs of a
batch have in common (`batching.merging`), and the order of neighbors at equal distances
(`graphs.crystal_graph.truncate`).

Rigor: sites are grouped by 64-bit hashes, then each site is compared with the first of its group,
own color and sorted neighbors. Where they differ, which means that two hashes collided, sites are
grouped by the neighbors themselves. So a grouping never rests on a hash. The order of neighbors
alone uses hashes as they are: a collision there leaves the choice to the next criterion.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from defectpool.graphs.neighbors import starts

Integers = NDArray[np.integer[Any]]
Hashes = NDArray[np.uint64]


def mix(values: Hashes) -> Hashes:
    """Scatter 64-bit numbers (finalizer of splitmix64; Steele, Lea and Flood, OOPSLA 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def number_by_first(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each key (or row), counted up as new ones occur, and where each does."""
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse.ravel()], first[order]


def group(
    colors: NDArray[np.int64], values: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of sites with equal colors and equal multisets of values; one round of refinement.

    Parameters
    ----------
    colors
        Color of each site, [sites].
    values
        What each neighbor contributes, not negative, one site after the other.
    offsets
        Where the values of each site begin, and the end, [sites + 1].

    Returns
    -------
    number
        Group of each site, numbered by first appearance, [sites].
    first
        First site of each group.
    """
    rows = _rows(values, offsets)
    sums = mix(rows.view(np.uint64)).sum(axis=1, dtype=np.uint64)
    number, first = number_by_first(mix(mix(mix(colors.view(np.uint64))) + sums))
    leader = first[number]
    if np.array_equal(colors, colors[leader]) and np.array_equal(rows, rows[leader]):
        return number, first
    return number_by_first(np.column_stack([colors, rows]))  # two hashes collided


def refine(
    colors: NDArray[np.int64],
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    bins: NDArray[np.int64],
    rounds: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Colors of sites after some rounds of refinement.

    Parameters
    ----------
    colors
        Color of each site before, not negative.
    target, source, bins
        Edges in ascending order of target, with the number of their distance bin (not negative).
    rounds
        Number of rounds; fewer are made if one splits no color, as none will then.

    Returns
    -------
    colors
        Color of each site, numbered by first appearance.
    first
        First site of each color.
    """
    offsets = starts(target, len(colors))
    current, first = number_by_first(colors)
    width = int(bins.max(initial=0)) + 1
    for _ in range(rounds):
        before = len(first)
        current, first = group(current, current[source] * width + bins, offsets)
        if len(first) == before:
            break
    return current, first


def environments(
    numbers: NDArray[np.int64],
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    bins: NDArray[np.int64],
    rounds: int,
) -> list[Hashes]:
    """Hashes of the environments of sites after 0, 1, ... rounds.

    Equal environments have equal hashes in whatever crystal, order of sites or orientation.

    Parameters
    ----------
    numbers
        Atomic number of each site.
    target, source, bins
        As in `refine`.
    rounds
        Number of rounds, each one neighbor further away.
    """
    offsets = starts(target, len(numbers))
    filled = offsets[1:] > offsets[:-1]
    step = mix(bins.astype(np.uint64))
    hashes = [mix(numbers.astype(np.uint64))]
    for _ in range(rounds):
        sums = np.zeros(len(numbers), dtype=np.uint64)
        if len(target):
            sums[filled] = np.add.reduceat(mix(hashes[-1][source] ^ step), offsets[:-1][filled])
        hashes.append(mix(mix(hashes[-1]) + sums))
    return hashes


def _rows(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lay runs of a flat array out as rows of a matrix, each sorted, short ones after -1s."""
    counts = np.diff(offsets)
    width = int(counts.max(initial=0))
    if width and np.all(counts == width):
        rows = values.reshape(-1, width).copy()
    else:
        rows = np.full((len(counts), width), -1, dtype=np.int64)
        row = np.repeat(np.arange(len(counts)), counts)
        rows[row, np.arange(len(values)) - offsets[:-1][row]] = values
    rows.sort(axis=1)
    return rows
