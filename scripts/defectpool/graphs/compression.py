"""Exact compression: sites that a message-passing network cannot tell apart become one node.

Source: Bollen et al., "Learning graph neural networks using exact compression", 2023,
arXiv:2304.14793. Colors are refined (`graphs.refinement`) for R rounds, one for each convolution.
The network computes the same on the compressed graph, because:

1. Sites of equal color after round r have equal features after r convolutions (by induction: a
   convolution sums, over the edges, a function of the site's feature, the neighbor's feature and
   the distance). Colors only get finer, so all sites of a class (equal color after round R) have
   equal features after each of the R convolutions.
2. At convolution r <= R a class needs its neighbors' features after r - 1 < R convolutions, and
   the neighbors of any two of its sites agree, as multisets, in color after round R - 1 and so in
   those features. The class can therefore take the edges of any of its sites. (The neighbors'
   classes after round R may differ from site to site; the computed features do not.)
3. Each quantity of a site or an edge, in the forward and the backward pass, occurs in the full
   graph `node_multiplicity[target]` times (times `edge_multiplicity` for an edge). Sums,
   batch-norm statistics, poolings and gradients weighted by these equal those of the full graph
   up to the rounding of sums.

Where atoms are displaced no site repeats another, and there is nothing to refine:
`graphs.crystal_graph.no_site_repeats` notices such crystals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defectpool.graphs.neighbors import starts
from defectpool.graphs.refinement import refine


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
    bin_span = int(bins.max(initial=0)) + 1
    if sites**2 * bin_span >= 2**63:
        raise OverflowError("too many sites and distances for one batch")
    order = np.argsort((target * sites + source) * bin_span + bins, kind="stable")
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


def side_by_side(parts: Sequence[Quotient]) -> Quotient:
    """One graph of several, their sites and classes numbered on from one to the next."""
    if len(parts) == 1:
        return parts[0]
    classes = np.cumsum([0, *(len(part.representative) for part in parts)])[:-1]
    sites = np.cumsum([0, *(len(part.site_class) for part in parts)])[:-1]

    def joined(key: str, shifts: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        arrays = [getattr(part, key) for part in parts]
        moved = arrays if shifts is None else map(np.add, arrays, shifts)
        return np.concatenate(list(moved))

    return Quotient(
        site_class=joined("site_class", classes),
        representative=joined("representative", sites),
        node_multiplicity=joined("node_multiplicity"),
        source=joined("source", classes),
        target=joined("target", classes),
        bin=joined("bin"),
        edge_multiplicity=joined("edge_multiplicity"),
    )
