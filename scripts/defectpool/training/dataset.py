"""From crystal graphs to the batches that the network computes on.

Message passing cannot tell equal surroundings apart. After r convolutions the feature of a site
depends on its colour after r rounds of colour refinement (Weisfeiler-Leman): its own colour before
and the multiset of (colour of neighbour, distance). So in convolution r of a batch

- one row stands for all sites of one colour after r rounds, in whatever crystal they are, and
- one message stands for all edges with the same (colour of target, colour of source, distance),

each with the number of sites or edges that it stands for. Outputs, gradients and batch statistics
are those of the full graphs to rounding, since equal rows would give equal numbers anyway
(Bollen et al., "Learning graph neural networks using exact compression", GRADES-NDA 2023; there
one quotient graph serves all layers, here each layer has its own, shared by all crystals).
Without merging, every stored node and edge is its own colour and message: the same code computes
on the graphs as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.errors import DefectpoolError
from defectpool.graphs.compression import mix, number_by_first
from defectpool.graphs.elements import feature_table

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from defectpool.graphs.shards import GraphSet

Integers = NDArray[np.int64]


# ------------------------------------------------------------------------------------------
# sparse sums


@dataclass(frozen=True)
class Rows:
    """A sparse matrix by rows: `rows @ dense` is a weighted sum of rows of `dense` for each row.

    Attributes
    ----------
    index
        Columns, one row after the other, [entries].
    offset
        Where each row begins, and the end, [rows + 1].
    weight
        Values, [entries], or None for ones.
    """

    index: Tensor
    offset: Tensor
    weight: Tensor | None = None

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Sum rows of `dense`, [columns, features] to [rows, features].

        The embedding bag is torch's fastest such sum on a CPU and needs no atomic additions on a
        GPU: each row is summed by one worker in the order of its entries.
        """
        return torch.embedding_bag(
            dense, self.index, self.offset, False, 0, False, self.weight, True
        )[0]


class SparseSum(torch.autograd.Function):
    """`rows @ dense` with a gradient, the transpose being known beforehand."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, rows: Rows, transposed: Rows) -> Tensor:
        """Return `rows @ dense`."""
        ctx.transposed = transposed
        return rows @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return `transposed @ gradient`."""
        return ctx.transposed @ gradients[0].contiguous(), None, None


# ------------------------------------------------------------------------------------------
# batches


@dataclass(frozen=True)
class Layer:
    """What one convolution computes: n rows in, m messages, k rows out.

    Attributes
    ----------
    lookup
        Message to the three rows of the table whose sum it is, [m, 2 n + d]: what row in i projects
        to as a target is row 2 i of the table, as a source row 2 i + 1; distances follow.
    lookup_transposed, lookup_transposed_share
        Its transpose, without weights and with the shares of the messages, or None where no
        gradient is wanted.
    total, total_transposed
        Messages summed at each row out, with multiplicities, [k, m].
    parent, children
        Row in of each row out, [k], and its transpose as sums, [n, k].
    distance
        Row of the table of distances for each of the d distances, [d].
    table_share
        Share of all edges whose messages each row of the table adds to, [2 n + d].
    row_share
        Share of all sites that each row out stands for, [k].
    edges, sites
        Edges and sites of the full graphs.
    """

    lookup: Rows
    lookup_transposed: Rows | None
    lookup_transposed_share: Rows | None
    total: Rows
    total_transposed: Rows | None
    parent: Tensor
    children: Rows
    distance: Tensor
    table_share: Tensor
    row_share: Tensor
    edges: int
    sites: int

    @property
    def messages(self) -> int:
        """Number of messages that are computed."""
        return len(self.lookup.offset) - 1


@dataclass(frozen=True)
class Batch:
    """Some crystals, ready for the network.

    A *node* is a class of sites of one crystal that is stored as one, with its multiplicity; a
    *row* is what is computed once, for whatever nodes share it.

    Attributes
    ----------
    features
        Features of the elements (or sites) that occur, [rows before any convolution, 92].
    expanded
        Gaussian expansions of distances, [distances, gaussians].
    layers
        One for each convolution.
    row
        Row of each node after the last convolution, [nodes].
    multiplicity
        Sites that a node stands for, [nodes].
    crystal, offset
        Crystal of each node, [nodes], in order; first node of each crystal, [crystals + 1].
    element
        Nodes of the same element in the same crystal have the same number, [nodes].
    elements
        How many such numbers there are.
    label
        1 defective, 0 perfect, [crystals].
    """

    features: Tensor
    expanded: Tensor
    layers: tuple[Layer, ...]
    row: Tensor
    multiplicity: Tensor
    crystal: Tensor
    offset: Tensor
    element: Tensor
    elements: int
    label: Tensor

    def __len__(self) -> int:
        return len(self.offset) - 1


def gaussian_expansion(distances: Tensor, radius: float, gaussians: int) -> Tensor:
    """Expand distances in Gaussians, exp(-(d - mu_k)^2 / s^2), as the published code does.

    Parameters
    ----------
    distances
        In Å, [d].
    radius
        Centre of the last Gaussian in Å; the first is at 0.
    gaussians
        How many; their width s is their spacing.

    Returns
    -------
    Tensor
        [d, gaussians].
    """
    step = radius / (gaussians - 1)
    centres = torch.arange(gaussians, dtype=distances.dtype, device=distances.device) * step
    return torch.exp(-(((distances[:, None] - centres) / step) ** 2))


# ------------------------------------------------------------------------------------------
# colours


@dataclass(frozen=True)
class Round:
    """Colours after one more round, and the messages between colours that make them.

    `target`, `source` (colours before) and `distance` are given for each kind of message; colour
    c sums `count[i]` messages of kind `message[i]` for i in `offset[c]:offset[c + 1]`, and its
    sites had colour `parent[c]` before, which never decreases with c.
    """

    target: Integers
    source: Integers
    distance: Integers
    offset: Integers
    message: Integers
    count: Integers
    parent: Integers


def refine(graphs: GraphSet, rounds: int) -> tuple[Integers, list[Round], Integers]:
    """Refine colours of all nodes of all graphs together.

    Colours are told apart by 128-bit sums of hashes of their messages.

    Parameters
    ----------
    graphs
        Crystal graphs, compressed by at least as many rounds or not at all.
    rounds
        Number of convolutions.

    Returns
    -------
    numbers : array
        Atomic number of each colour before any round.
    rounds : list of Round
        One for each round.
    colour : array
        Colour of each node after the last round.
    """
    numbers, colour = np.unique(graphs.atomic_number, return_inverse=True)
    source, target = _global_edges(graphs)
    distance = np.asarray(graphs.edge_distance, dtype=np.int64)
    multiplicity = np.asarray(graphs.edge_multiplicity, dtype=np.int64)
    colour = colour.astype(np.int64)
    found = []
    for _ in range(rounds):
        keys = (colour[target], colour[source], distance)
        message, first = number_by_first(_pack(keys))
        # equal messages at one node become one entry with their summed multiplicity
        entry, entry_of_edge = np.unique(target * (len(first) + 1) + message, return_inverse=True)
        at, kind = entry // (len(first) + 1), entry % (len(first) + 1)
        count = np.bincount(entry_of_edge, weights=multiplicity, minlength=len(entry))
        count = count.astype(np.int64)
        offset = np.searchsorted(at, np.arange(len(colour) + 1))
        refined, node = number_by_first(_signatures(colour, offset, kind, count))
        order = np.argsort(colour[node], kind="stable")  # sites of one colour before stay together
        refined, node = np.argsort(order)[refined], node[order]
        taken, begin = _slices(offset, node)
        target_colour, source_colour, bin_number = (key[first] for key in keys)
        found.append(
            Round(
                target_colour,
                source_colour,
                bin_number,
                begin,
                kind[taken],
                count[taken],
                colour[node],
            )
        )
        colour = refined
    return numbers.astype(np.int64), found, colour


def keep_apart(graphs: GraphSet, rounds: int) -> tuple[Integers, list[Round], Integers]:
    """Return the same as `refine` with every node a colour and every edge a message of its own."""
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
    return np.asarray(graphs.atomic_number, dtype=np.int64), [one] * rounds, np.arange(nodes)


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


def _signatures(colour: Integers, offset: Integers, kind: Integers, count: Integers) -> Integers:
    """Return a number for each node, equal where colour and multiset of (kind, count) are equal."""
    base = kind.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + count.astype(np.uint64)
    halves = []
    for salt in (0x243F6A8885A308D3, 0x13198A2E03707344):
        running = np.zeros(len(base) + 1, dtype=np.uint64)
        np.cumsum(mix(base + np.uint64(salt)), out=running[1:])  # modulo 2**64, as differences are
        total = mix(colour.astype(np.uint64) + np.uint64(salt))
        total += running[offset[1:]] - running[offset[:-1]]
        halves.append(np.unique(total, return_inverse=True)[1].reshape(-1).astype(np.int64))
    return halves[0] * (int(halves[1].max(initial=0)) + 1) + halves[1]


def _slices(offset: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """Positions of the slices `offset[c]:offset[c + 1]` of the chosen c, and where each begins."""
    begin = offset[chosen]
    lengths = offset[chosen + 1] - begin
    new = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=new[1:])
    return np.arange(new[-1]) + np.repeat(begin - new[:-1], lengths), new


def _count(things: Integers, weights: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Sum the weights of each thing."""
    return np.bincount(things, weights=weights, minlength=size).astype(np.float64, copy=False)


class _Numbering:
    """Numbers the things that occur in a batch, in ascending order, without sorting."""

    def __init__(self, size: int) -> None:
        self.seen = np.zeros(size, dtype=bool)
        self.number = np.zeros(size, dtype=np.int64)

    def __call__(self, *occurring: Integers) -> Integers:
        """Return the distinct things; `self.number` then maps them to 0, 1, ..."""
        for things in occurring:
            self.seen[things] = True
        distinct = np.flatnonzero(self.seen)
        self.seen[distinct] = False
        self.number[distinct] = np.arange(len(distinct))
        return distinct


# ------------------------------------------------------------------------------------------
# the data set


class Dataset:
    """All graphs of a training, from which batches are cut.

    Parameters
    ----------
    graphs
        Crystal graphs.
    convolutions
        Number of convolutions.
    gaussians
        Gaussians of the distance expansion, from 0 Å to the graphs' radius.
    merge
        Compute equal surroundings once (exact). By default as the graphs were made
        (`graph.compression`).
    device, dtype
        Where and how the network computes.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    """

    def __init__(
        self,
        graphs: GraphSet,
        convolutions: int,
        gaussians: int,
        *,
        merge: bool | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        compressed = bool(graphs.settings.get("compression", True))
        rounds = graphs.settings.get("rounds", convolutions)
        if compressed and rounds < convolutions:
            raise DefectpoolError(
                f"network.convolutions: the graphs were compressed for {rounds} convolutions and "
                f"cannot serve {convolutions}; make the graphs anew"
            )
        merge = compressed if merge is None else merge
        self.device, self.dtype = torch.device(device), dtype
        self.numbers, self.rounds, self.colour = (refine if merge else keep_apart)(
            graphs, convolutions
        )
        self.node_offset = np.asarray(graphs.node_offset, dtype=np.int64)
        self.multiplicity = np.asarray(graphs.node_multiplicity, dtype=np.int64)
        self.element = np.asarray(graphs.atomic_number, dtype=np.int64)
        self.label = np.asarray(graphs.label)
        self.features = self._tensor(feature_table().copy())
        distances = torch.as_tensor(np.asarray(graphs.distances, dtype=np.float64))
        expanded = gaussian_expansion(distances, float(graphs.settings["radius"]), gaussians)
        self.expanded = expanded.to(self.device, dtype)
        sizes = [len(self.numbers), *(len(one.parent) for one in self.rounds)]
        self._colours = [_Numbering(size) for size in sizes]
        self._messages = [_Numbering(len(one.target)) for one in self.rounds]
        self._distances = _Numbering(len(expanded))

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, chosen: Sequence[int] | Integers, *, gradients: bool = True) -> Batch:
        """Put crystals together.

        Integers alone are handled here, on the CPU, while a GPU still computes the batch before.

        Parameters
        ----------
        chosen
            Numbers of the crystals.
        gradients
            Whether the batch is for training.
        """
        chosen = np.asarray(chosen, dtype=np.int64)
        nodes, offset = _slices(self.node_offset, chosen)
        crystal = np.repeat(np.arange(len(chosen)), np.diff(offset))
        multiplicity = self.multiplicity[nodes]
        group, element = np.unique(crystal * 128 + self.element[nodes], return_inverse=True)
        colour = self.colour[nodes]
        occurring = self._colours[-1](colour)
        row = self._colours[-1].number[colour]
        weight = _count(row, multiplicity, len(occurring))
        layers: list[Layer] = []
        for r in reversed(range(len(self.rounds))):
            layer, occurring, weight = self._layer(r, occurring, weight, gradients)
            layers.insert(0, layer)
        return Batch(
            features=self.features.index_select(0, self._integers(self.numbers[occurring])),
            expanded=self.expanded,
            layers=tuple(layers),
            row=self._integers(row),
            multiplicity=self._tensor(multiplicity),
            crystal=self._integers(crystal),
            offset=self._integers(offset),
            element=self._integers(element),
            elements=len(group),
            label=self._tensor(self.label[chosen]),
        )

    def _layer(
        self, r: int, colours: Integers, weight: NDArray[np.float64], gradients: bool
    ) -> tuple[Layer, Integers, NDArray[np.float64]]:
        """Convolution r for the colours after it; also the colours before it, with weights."""
        one = self.rounds[r]
        entries, offset = _slices(one.offset, colours)
        kind, count = one.message[entries], one.count[entries]
        kinds = self._messages[r](kind)
        message = self._messages[r].number[kind]
        parent = one.parent[colours]
        target, source, distance = one.target[kinds], one.source[kinds], one.distance[kinds]
        before = self._colours[r](parent, target, source)
        number = self._colours[r].number
        distances = self._distances(distance)
        parent, target, source = number[parent], number[target], number[source]
        distance = self._distances.number[distance]
        n, m, k = len(before), len(kinds), len(colours)
        width = 2 * n + len(distances)
        table = _table_rows(target, source, distance, n)
        edges = np.bincount(
            message, weights=count * np.repeat(weight, np.diff(offset)), minlength=m
        )
        share = np.repeat(edges / max(edges.sum(), 1.0), 3)
        threes = np.arange(0, 3 * m + 1, 3, dtype=np.int32)
        weighted = self._transposed(table, threes, share, width) if gradients else None
        layer = Layer(
            lookup=self._rows(table, threes),
            lookup_transposed=Rows(weighted.index, weighted.offset) if weighted else None,
            lookup_transposed_share=weighted,
            total=self._rows(message, offset, count),
            total_transposed=self._transposed(message, offset, count, m) if gradients else None,
            parent=self._integers(parent),
            # parents are sorted, so their children are slices
            children=self._rows(np.arange(k), np.searchsorted(parent, np.arange(n + 1))),
            distance=self._integers(distances),
            table_share=self._tensor(np.bincount(table, weights=share, minlength=width)),
            row_share=self._tensor(weight / weight.sum()),
            edges=int(edges.sum()),
            sites=int(weight.sum()),
        )
        return layer, before, _count(parent, weight, n)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return _send(torch.from_numpy(np.ascontiguousarray(values)).to(self.dtype), self.device)

    def _integers(self, values: NDArray[Any]) -> Tensor:
        return _send(torch.from_numpy(values.astype(np.int32, copy=False)), self.device)

    def _rows(
        self, index: NDArray[Any], offset: NDArray[Any], weight: NDArray[Any] | None = None
    ) -> Rows:
        return Rows(
            self._integers(index),
            self._integers(offset),
            None if weight is None else self._tensor(weight),
        )

    def _transposed(
        self, index: NDArray[Any], offset: NDArray[Any], weight: NDArray[Any] | None, columns: int
    ) -> Rows:
        return self._rows(*transpose(index, offset, weight, columns))


def _table_rows(
    target: Integers, source: Integers, distance: Integers, n: int
) -> NDArray[np.int32]:
    """Rows of the table that each message adds up, three by three (see `Layer.lookup`)."""
    rows = np.empty(3 * len(target), dtype=np.int32)
    rows[::3], rows[1::3], rows[2::3] = 2 * target, 2 * source + 1, distance + 2 * n
    return rows


def transpose(
    index: NDArray[Any], offset: NDArray[Any], weight: NDArray[Any] | None, columns: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Transpose a sparse matrix that is given by rows (a counting sort, linear in its size)."""
    from scipy.sparse import csr_array

    values = np.ones(len(index), dtype=np.float32) if weight is None else weight
    index, offset = index.astype(np.int32, copy=False), offset.astype(np.int32, copy=False)
    csc = csr_array((values, index, offset), shape=(len(offset) - 1, columns)).tocsc()
    return csc.indices, csc.indptr, None if weight is None else csc.data


def _send(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


# ------------------------------------------------------------------------------------------
# torch_geometric


def from_data(data: Data, convolutions: int, radius: float = 8.0, gaussians: int = 41) -> Batch:
    """Make a batch of `torch_geometric` objects: every site and edge stands for itself.

    Parameters
    ----------
    data
        A `Data` as `defectpool.graphs.cif_to_graph` makes it, or a `Batch` of such: `x`
        [sites, 92], `edge_index` [2, edges] (row 0 the neighbour, row 1 the site that receives),
        `edge_attr` [edges, 1] in Å, and `y`, if there is one, the labels.
    convolutions, radius, gaussians
        As in the network's and the graphs' settings.
    """
    x, device = data.x, data.x.device
    sites = x.shape[0]
    graph = getattr(data, "batch", None)
    graph = torch.zeros(sites, dtype=torch.int64, device=device) if graph is None else graph
    crystals = int(graph.max()) + 1 if sites else 0
    source, target = (row.cpu().numpy() for row in data.edge_index)
    order = np.argsort(target, kind="stable")
    source, target = source[order], target[order]
    edges = len(source)
    table = _table_rows(target, source, np.arange(edges), sites)
    threes, offset = 3 * np.arange(edges + 1), np.searchsorted(target, np.arange(sites + 1))

    def integers(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.astype(np.int32)).to(device)

    def rows(index: NDArray[Any], begin: NDArray[Any], _: object = None) -> Rows:
        return Rows(integers(index), integers(begin))

    every, each = np.arange(sites), np.arange(edges)
    transposed = rows(*transpose(table, threes, None, 2 * sites + edges))
    in_table = np.bincount(table, minlength=2 * sites + edges) / max(edges, 1)
    layer = Layer(
        lookup=rows(table, threes),
        lookup_transposed=transposed,
        lookup_transposed_share=Rows(
            transposed.index,
            transposed.offset,
            torch.full((3 * edges,), 1 / max(edges, 1), dtype=x.dtype, device=device),
        ),
        total=rows(each, offset),
        total_transposed=rows(target, np.arange(edges + 1)),
        parent=integers(every),
        children=rows(every, np.arange(sites + 1)),
        distance=integers(each),
        table_share=torch.from_numpy(in_table).to(device, x.dtype),
        row_share=torch.full((sites,), 1 / max(sites, 1), dtype=x.dtype, device=device),
        edges=edges,
        sites=sites,
    )
    kinds = torch.unique(torch.cat([graph[:, None].to(x.dtype), x], 1), dim=0, return_inverse=True)
    distances = data.edge_attr.reshape(-1)[torch.from_numpy(order).to(device)]
    label = getattr(data, "y", None)
    return Batch(
        features=x,
        expanded=gaussian_expansion(distances.to(x.dtype), radius, gaussians),
        layers=(layer,) * convolutions,
        row=integers(every),
        multiplicity=torch.ones(sites, dtype=x.dtype, device=device),
        crystal=graph.to(torch.int32),
        offset=torch.searchsorted(graph.contiguous(), torch.arange(crystals + 1, device=device)).to(
            torch.int32
        ),
        element=kinds[1].to(torch.int32),
        elements=len(kinds[0]),
        label=torch.zeros(crystals, dtype=x.dtype, device=device)
        if label is None
        else label.reshape(-1).to(x.dtype),
    )
