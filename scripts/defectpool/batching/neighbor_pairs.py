"""Pairs of neighbors: two sites and their distance, at which either may be a neighbor of the other.

Nearly every neighbor has the site among its own neighbors, at the same distance. What depends on
the distance is then computed once for both (`network.message_kernels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from defectpool.batching.merging import global_edges

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class NeighborPairs:
    """Pairs of neighbors, ordered by their first site: n sites, p pairs.

    Attributes
    ----------
    offset
        Pairs of site i with sites that are not before it are `offset[i]:offset[i + 1]`, [n + 1].
    other, distance
        The other site, and the distance as an index, [p].
    count
        How often site i has this neighbor, and how often the other site has site i, [p, 2].
    """

    offset: Integers
    other: Integers
    distance: Integers
    count: NDArray[Any]

    @property
    def first(self) -> Integers:
        """First site of each pair, [p]."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    def typed(self, counts: DTypeLike) -> NeighborPairs:
        """Return them as the compiled loops read them, counts in the type that is computed in."""
        offset, other = self.offset.astype(np.int32), self.other.astype(np.int32)
        return NeighborPairs(offset, other, self.distance, self.count.astype(counts))


def neighbor_pairs(graphs: GraphSet) -> NeighborPairs:
    """Pairs of all graphs of a set, as nodes of the whole set."""
    return pairs_of_edges(
        *global_edges(graphs),
        np.asarray(graphs.edge_distance),
        np.asarray(graphs.edge_multiplicity),
        graphs.node_offset,
        len(graphs.distances),
    )


def pairs_of_edges(
    source: Integers,
    target: Integers,
    distance: Integers,
    multiplicity: Integers,
    node_offset: Integers,
    kinds: int,
) -> NeighborPairs:
    """Pairs of the neighbors that edges stand for.

    Parameters
    ----------
    source, target, distance, multiplicity
        Of each edge: its nodes, its distance as an index, and how often it occurs, [edges].
    node_offset
        First node of each graph, and the end.
    kinds
        Number of distances.
    """
    first, other = np.minimum(source, target).astype(np.int64), np.maximum(source, target)
    begin = node_offset[np.searchsorted(node_offset, first, side="right") - 1]
    largest = int(np.diff(node_offset).max(initial=1))
    key = (first * largest + (other - begin)) * kinds + distance
    found, edge, pair = np.unique(key, return_index=True, return_inverse=True)
    sides = np.stack([target <= source, target > source], axis=1) * multiplicity[:, None]
    count = np.stack([np.bincount(pair, side, minlength=len(found)) for side in sides.T], axis=1)
    return NeighborPairs(
        np.searchsorted(first[edge], np.arange(node_offset[-1] + 1)),
        other[edge],
        distance[edge],
        count.astype(np.int32),
    )
