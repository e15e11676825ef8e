"""Exact compression: sites that a message-passing network cannot tell apart become one node.

Color refinement (Weisfeiler and Leman, 1968; for the exact compression of graph networks: Bollen
et al., "Learning graph neural networks using exact compression", 2023, arXiv:2304.14793) gives
sites equal colors after round r if they had equal colors after round r - 1 and equal multisets
of (neighbor's color after round r - 1, distance).

Why the network sees no difference, with R rounds for R convolutions:

1. By induction, sites of equal color after round r have equal features after r convolutions, for
   a convolution sums, over the edges, a function of the site's feature, the neighbor's feature
   and the distance; and colors only get finer, so all sites of a class (equal color after round
   R) have equal features after each of the R convolutions.
2. At convolution r <= R a class needs its neighbors' features after r - 1 < R convolutions, and
   the neighbors of any two of its sites agree, as multisets, in color after round R - 1 and so
   in those features: it does not matter which site lends its edges to the class. (The neighbors'
   classes after round R may differ from site to site, so the stored edges are not the only right
   ones; what the network computes from them is the same.)
3. So each quantity of a site or an edge, in the forward and the backward pass, occurs in the full
   graph as often as `node_multiplicity[target]` (times `edge_multiplicity` for an edge) says, and
   sums, batch-norm statistics, poolings and gradients weighted by these equal those of the full
   graph up to the rounding of sums.

Sites are grouped by 64-bit hashes, then each is compared, neighbor by neighbor, with the first of
its group; should two hashes ever collide (once in some 1e8 campaigns over all of C2DB), they are
grouped by their neighbors themselves. So the compression does not rest on luck.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defectpool.graphs.neighbors import starts


@dataclass(frozen=True)
class Quotient:
    """Graph of classes.

    Attributes
    ----------
    site_class
        Class of each site; classes are numbered in the order of their first sites.
    representative
        First site of each class.
    node_multiplicity
        Number of sites of each class.
    source, target, bin
        Edges, in ascending order of (target, source, bin): classes and number of the distance bin.
    edge_multiplicity
        How often a site of class `target` has such a neighbor.
    """

    site_class: NDArray[np.int64]
    representative: NDArray[np.int64]
    node_multiplicity: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    bin: NDArray[np.int64]
    edge_multiplicity: NDArray[np.int64]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers (finalizer of splitmix64; Steele, Lea and Flood, OOPSLA 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def rows_of(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
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


def _group(
    colors: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give numbers to the distinct (color, row), in order of appearance, and their first sites."""
    # The site's own color is mixed once more: it must not be taken for one of the row.
    own = mix(mix(colors.view(np.uint64)))
    number, first = number_by_first(
        mix(own + mix(rows.view(np.uint64)).sum(axis=1, dtype=np.uint64))
    )
    leader = first[number]
    if np.array_equal(colors, colors[leader]) and np.array_equal(rows, rows[leader]):
        return number, first
    whole = np.column_stack([colors, rows])  # two hashes collide: compare the rows themselves
    return number_by_first(whole)


def number_by_first(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each key (or row), counted up as new ones occur, and where each does."""
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse.ravel()], first[order]


def refine(
    colors: NDArray[np.int64],
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    bins: NDArray[np.int64],
    rounds: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Refine colors by those of the neighbors.

    Parameters
    ----------
    colors
        Color of each site, not negative.
    target, source, bins
        Edges in ascending order of target, with the number of their distance bin (not negative).
    rounds
        Number of rounds; fewer are made if one splits no class, as none will then.

    Returns
    -------
    colors
        Class of each site; numbered by first appearance.
    first
        First site of each class.
    """
    offsets = starts(target, len(colors))
    current, first = number_by_first(colors)
    width = int(bins.max(initial=0)) + 1
    for _ in range(rounds):
        before = len(first)
        current, first = _group(current, rows_of(current[source] * width + bins, offsets))
        if len(first) == before:
            break
    return current, first


def compress(
    colors: NDArray[np.int64],
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    bins: NDArray[np.int64],
    rounds: int,
) -> Quotient:
    """Merge sites that are equal after some rounds of refinement, and their equal edges.

    Parameters
    ----------
    colors, target, source, bins, rounds
        As in `refine`. Sites of different graphs have to have different colors.
    """
    site_class, first = refine(colors, target, source, bins, rounds)
    offsets = starts(target, len(colors))
    counts = np.diff(offsets)[first]
    edge = np.repeat(offsets[:-1][first] - np.cumsum(counts) + counts, counts)
    edge += np.arange(len(edge))
    into = np.repeat(np.arange(len(first)), counts)
    bin_span, class_span = int(bins.max(initial=0)) + 1, len(first)
    if class_span**2 * bin_span >= 2**63:
        raise OverflowError("too many classes and distances for one batch")
    keys, multiplicity = np.unique(
        (into * class_span + site_class[source[edge]]) * bin_span + bins[edge], return_counts=True
    )
    pairs, bin_ = np.divmod(keys, bin_span)
    into, from_ = np.divmod(pairs, max(class_span, 1))
    return Quotient(
        site_class=site_class,
        representative=first,
        node_multiplicity=np.bincount(site_class, minlength=len(first)),
        source=from_,
        target=into,
        bin=bin_,
        edge_multiplicity=multiplicity,
    )


def uncompressed(
    sites: int,
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    bins: NDArray[np.int64],
) -> Quotient:
    """Every site its own class and every edge its own, in the same form."""
    order = np.lexsort((bins, source, target))
    every = np.arange(sites)
    return Quotient(
        site_class=every,
        representative=every,
        node_multiplicity=np.ones(sites, dtype=np.int64),
        source=source[order],
        target=target[order],
        bin=bins[order],
        edge_multiplicity=np.ones(len(order), dtype=np.int64),
    )
