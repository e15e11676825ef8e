"""Pairs of neighbors: two sites and their distance, at which either may be a neighbor of the other.

Nearly every neighbor has the site among its own neighbors, at the same distance. What depends on
the distance is then computed once for both (`network.message_kernels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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


def neighbor_pairs(graphs: GraphSet) -> NeighborPairs:
    """Pairs of all graphs of a set, as nodes of the whole set."""
    source, target = global_edges(graphs)
    first, other = np.minimum(source, target), np.maximum(source, target)
    n, kinds = len(graphs.atomic_number), len(graphs.distances)
    begin = graphs.node_offset[np.searchsorted(graphs.node_offset, first, side="right") - 1]
    largest = int(np.diff(graphs.node_offset).max(initial=1))
    key = (first * largest + (other - begin)) * kinds + graphs.edge_distance
    found, edge, pair = np.unique(key, return_index=True, return_inverse=True)
    sides = (
        np.stack([target <= source, target > source], axis=1) * graphs.edge_multiplicity[:, None]
    )
    count = np.stack([np.bincount(pair, side, minlength=len(found)) for side in sides.T], axis=1)
    return NeighborPairs(
        np.searchsorted(first[edge], np.arange(n + 1)),
        other[edge],
        np.asarray(graphs.edge_distance)[edge],
        count.astype(np.int32),
    )
