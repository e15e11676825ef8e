"""Colors of sites, round by round, and the messages between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.graphs.compression import mix, number_by_first

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Round:
    """Colors after one more round, and the messages between colors that make them.

    `target`, `source` (colors before) and `distance` are given for each kind of message; color
    c sums `count[i]` messages of kind `message[i]` for i in `offset[c]:offset[c + 1]`, and its
    sites had color `parent[c]` before, which never decreases with c.
    """

    target: Integers
    source: Integers
    distance: Integers
    offset: Integers
    message: Integers
    count: Integers
    parent: Integers


@dataclass(frozen=True)
class Colors:
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


def colors_of(
    graphs: GraphSet, convolutions: int, *, merge: bool | None = None, across: bool = True
) -> Colors:
    """Color the nodes of all graphs for a number of convolutions.

    Parameters
    ----------
    graphs
        Crystal graphs.
    convolutions
        Number of convolutions.
    merge
        Give equal surroundings one color. By default as the graphs were made
        (`graph.compression`).
    across
        Merge what different crystals have in common, too.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    """
    compressed = bool(graphs.settings.get("compression", True))
    rounds = graphs.settings.get("rounds", convolutions)
    if compressed and rounds < convolutions:
        raise DefectpoolError(
            f"network.convolutions: the graphs were compressed for {rounds} convolutions and "
            f"cannot serve {convolutions}; make the graphs anew"
        )
    if compressed if merge is None else merge:
        return refine(graphs, convolutions, across=across)
    return keep_apart(graphs, convolutions)


def refine(graphs: GraphSet, rounds: int, *, across: bool = True) -> Colors:
    """Refine colors of all nodes of all graphs together.

    Colors are told apart by 128-bit sums of hashes of their messages.

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
    numbers, color = np.unique(nodes, return_inverse=True)
    numbers %= 128
    source, target = _global_edges(graphs)
    distance = np.asarray(graphs.edge_distance, dtype=np.int64)
    multiplicity = np.asarray(graphs.edge_multiplicity, dtype=np.int64)
    color = color.astype(np.int64)
    found = []
    for _ in range(rounds):
        keys = (color[target], color[source], distance)
        message, first = number_by_first(_pack(keys))
        # equal messages at one node become one entry with their summed multiplicity
        entry, entry_of_edge = np.unique(target * (len(first) + 1) + message, return_inverse=True)
        at, kind = entry // (len(first) + 1), entry % (len(first) + 1)
        count = np.bincount(entry_of_edge, weights=multiplicity, minlength=len(entry))
        count = count.astype(np.int64)
        offset = np.searchsorted(at, np.arange(len(color) + 1))
        refined, node = number_by_first(_signatures(color, offset, kind, count))
        order = np.argsort(color[node], kind="stable")  # sites of one color before stay together
        refined, node = np.argsort(order)[refined], node[order]
        taken, begin = slices(offset, node)
        target_color, source_color, bin_number = (key[first] for key in keys)
        found.append(
            Round(
                target_color,
                source_color,
                bin_number,
                begin,
                kind[taken],
                count[taken],
                color[node],
            )
        )
        color = refined
    return Colors(numbers, found, color)


def keep_apart(graphs: GraphSet, rounds: int) -> Colors:
    """Return the same as `refine` with every node a color and every edge a message of its own."""
    source, target = _global_edges(graphs)
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
    return Colors(numbers, [one] * rounds, np.arange(nodes))


def _global_edges(graphs: GraphSet) -> tuple[Integers, Integers]:
    shift = np.repeat(
        np.asarray(graphs.node_offset[:-1], dtype=np.int64), np.diff(graphs.edge_offset)
    )
    return graphs.source + shift, graphs.target + shift


def _pack(keys: Sequence[Integers]) -> Integers:
    """One integer for each tuple of small integers."""
    sizes = [int(key.max(initial=0)) + 1 for key in keys]
    if np.prod([float(size) for size in sizes]) < 2**62:
        packed = keys[0]
        for key, size in zip(keys[1:], sizes[1:], strict=True):
            packed = packed * size + key
        return packed
    first = np.unique(keys[0] * sizes[1] + keys[1], return_inverse=True)[1]
    return first * sizes[2] + keys[2]


def _signatures(color: Integers, offset: Integers, kind: Integers, count: Integers) -> Integers:
    """Return a number for each node, equal where color and multiset of (kind, count) are equal."""
    base = kind.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + count.astype(np.uint64)
    halves = []
    for salt in (0x243F6A8885A308D3, 0x13198A2E03707344):
        running = np.zeros(len(base) + 1, dtype=np.uint64)
        np.cumsum(mix(base + np.uint64(salt)), out=running[1:])  # modulo 2**64, as differences are
        total = mix(color.astype(np.uint64) + np.uint64(salt))
        total += running[offset[1:]] - running[offset[:-1]]
        halves.append(np.unique(total, return_inverse=True)[1].reshape(-1).astype(np.int64))
    return halves[0] * (int(halves[1].max(initial=0)) + 1) + halves[1]


def slices(offset: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """Positions of the slices `offset[c]:offset[c + 1]` of the chosen c, and where each begins."""
    begin = offset[chosen]
    lengths = offset[chosen + 1] - begin
    new = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=new[1:])
    return np.arange(new[-1]) + np.repeat(begin - new[:-1], lengths), new
