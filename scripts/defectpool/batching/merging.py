"""Merging of equal sites and messages, within a crystal and across the crystals of a data set.

After r convolutions the features of a site depend on its color after r rounds of color refinement
(`graphs.refinement`). So convolution r needs one row for all sites of one color, in whatever
crystal they are, and one message for all edges with the same (color of target, color of source,
distance), which is called the type of the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.graphs.refinement import group, number_by_first

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Round:
    """Colors after one more round, and the messages between colors that make them.

    Attributes
    ----------
    target, source
        Colors, a round before, between which a message of each type goes, [types].
    distance
        Its distance, as an index, [types].
    offset
        Color c sums the entries `offset[c]:offset[c + 1]`, [colors + 1].
    message, count
        Type of message of each entry, and how often it occurs, [entries].
    parent
        Color a round before of the sites of each color; it never decreases, [colors].
    """

    target: Integers
    source: Integers
    distance: Integers
    offset: Integers
    message: Integers
    count: Integers
    parent: Integers


@dataclass(frozen=True)
class MergedGraphs:
    """Colors of the nodes of all graphs.

    Attributes
    ----------
    numbers
        Atomic number of each color before any round.
    rounds
        One for each convolution.
    last
        Color of each node after the last round.
    """

    numbers: Integers
    rounds: list[Round]
    last: Integers


def merge_graphs(
    graphs: GraphSet, convolutions: int, *, merge: bool | None = None, across: bool = True
) -> MergedGraphs:
    """Merge what a number of convolutions cannot tell apart.

    Parameters
    ----------
    graphs
        Crystal graphs.
    convolutions
        Number of convolutions.
    merge
        Give equal environments one color. By default as the graphs were made
        (`graph.compression`).
    across
        Merge what different crystals have in common, too.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    """
    check_rounds(graphs, convolutions)
    if is_compressed(graphs) if merge is None else merge:
        return refine_graphs(graphs, convolutions, across=across)
    return keep_apart(graphs, convolutions)


def is_compressed(graphs: GraphSet) -> bool:
    """Whether the graphs were made with `graph.compression`."""
    return bool(graphs.settings.get("compression", True))


def check_rounds(graphs: GraphSet, convolutions: int) -> None:
    """Refuse graphs that were compressed for fewer convolutions."""
    rounds = graphs.settings.get("rounds", convolutions)
    if is_compressed(graphs) and rounds < convolutions:
        raise DefectpoolError(
            f"network.n_convolutions: the graphs were compressed for {rounds} convolutions and "
            f"cannot serve {convolutions}; make the graphs anew"
        )


def refine_graphs(graphs: GraphSet, rounds: int, *, across: bool = True) -> MergedGraphs:
    """Refine the colors of all nodes of all graphs together.

    Parameters
    ----------
    graphs
        Crystal graphs, compressed by at least as many rounds or not at all.
    rounds
        Number of convolutions.
    across
        Whether nodes of different crystals may share a color. If not, colors and messages are
        numbered crystal by crystal.
    """
    nodes = np.asarray(graphs.atomic_number, dtype=np.int64)
    if not across:
        nodes = nodes + 128 * np.repeat(np.arange(len(graphs)), np.diff(graphs.node_offset))
    numbers, inverse = np.unique(nodes, return_inverse=True)
    color = inverse.astype(np.int64)
    source, target = global_edges(graphs)
    distance = np.asarray(graphs.edge_distance, dtype=np.int64)
    multiplicity = np.asarray(graphs.edge_multiplicity, dtype=np.int64)
    found = []
    for _ in range(rounds):
        one, color = _round(color, target, source, distance, multiplicity)
        found.append(one)
    return MergedGraphs(numbers % 128, found, color)


def _round(
    color: NDArray[np.int64],
    target: Integers,
    source: Integers,
    distance: Integers,
    multiplicity: Integers,
) -> tuple[Round, NDArray[np.int64]]:
    """One round of refinement, and the color of each node after it."""
    keys = (color[target], color[source], distance)
    message, first = number_by_first(_pack(keys))
    # equal messages at one node become one entry with their summed multiplicity
    types = len(first) + 1
    entry, entry_of_edge = np.unique(target * types + message, return_inverse=True)
    node, message = np.divmod(entry, types)
    count = np.bincount(entry_of_edge, weights=multiplicity, minlength=len(entry))
    count = count.astype(np.int64)
    offset = np.searchsorted(node, np.arange(len(color) + 1))
    values = message * (int(count.max(initial=0)) + 1) + count
    refined, representative = group(color, values, offset)
    order = np.argsort(color[representative], kind="stable")  # colors of one parent stay together
    refined, representative = np.argsort(order)[refined], representative[order]
    taken, begin = slices(offset, representative)
    ends = tuple(key[first] for key in keys)
    sums = (begin, message[taken], count[taken])
    return Round(*ends, *sums, color[representative]), refined  # type: ignore[call-arg]


def keep_apart(graphs: GraphSet, rounds: int) -> MergedGraphs:
    """Return the same as `refine_graphs` with a color for every node and a type for every edge."""
    source, target = global_edges(graphs)
    nodes, edges = len(graphs.atomic_number), len(source)
    one = Round(
        target,
        source,
        np.asarray(graphs.edge_distance, dtype=np.int64),
        np.searchsorted(target, np.arange(nodes + 1)),
        np.arange(edges),
        np.asarray(graphs.edge_multiplicity, dtype=np.int64),
        np.arange(nodes),
    )
    numbers = np.asarray(graphs.atomic_number, dtype=np.int64)
    return MergedGraphs(numbers, [one] * rounds, np.arange(nodes))


def slices(offset: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """Positions of the slices `offset[c]:offset[c + 1]` of the chosen c, and where each begins."""
    begin = offset[chosen]
    lengths = offset[chosen + 1] - begin
    new = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=new[1:])
    return np.arange(new[-1]) + np.repeat(begin - new[:-1], lengths), new


def global_edges(graphs: GraphSet) -> tuple[Integers, Integers]:
    """Source and target of all edges, as nodes of the whole set."""
    shift = np.repeat(
        np.asarray(graphs.node_offset[:-1], dtype=np.int64), np.diff(graphs.edge_offset)
    )
    return np.asarray(graphs.source) + shift, np.asarray(graphs.target) + shift


def _pack(keys: Sequence[Integers]) -> Integers:
    """One integer for each tuple of three small integers."""
    sizes = [int(key.max(initial=0)) + 1 for key in keys]
    if np.prod([float(size) for size in sizes]) < 2**62:
        packed = keys[0]
        for key, size in zip(keys[1:], sizes[1:], strict=True):
            packed = packed * size + key
        return packed
    first = np.unique(keys[0] * sizes[1] + keys[1], return_inverse=True)[1]
    return first * sizes[2] + keys[2]
