"""From crystal graphs to the batches that the network computes on.

Message passing cannot tell equal surroundings apart. After r convolutions the feature of a site
depends on its color after r rounds of color refinement (Weisfeiler-Leman): its own color before
and the multiset of (color of neighbor, distance). So in convolution r of a batch

- one row stands for all sites of one color after r rounds, in whatever crystal they are, and
- one message stands for all edges with the same (color of target, color of source, distance),

each with the number of sites or edges that it stands for. Outputs, gradients and batch statistics
are those of the full graphs to rounding, since equal rows would give equal numbers anyway
(Bollen et al., "Learning graph neural networks using exact compression", GRADES-NDA 2023; there
one quotient graph serves all layers, here each layer has its own, shared by all crystals).
Without merging, every stored node and edge is its own color and message: the same code computes
on the graphs as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch, Layer, Rows, gaussian_expansion, table_rows, transpose
from defectpool.graphs.elements import feature_table
from defectpool.graphs.refinement import colors_of, slices

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet

Integers = NDArray[np.integer[Any]]


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
        colors = colors_of(graphs, convolutions, merge=merge)
        self.device, self.dtype = torch.device(device), dtype
        self._float = np.dtype(str(dtype).removeprefix("torch."))
        self.numbers, self.color = colors.numbers, colors.last
        self.rounds = [replace(one, count=one.count.astype(self._float)) for one in colors.rounds]
        self.node_offset = np.asarray(graphs.node_offset, dtype=np.int64)
        self.multiplicity = np.asarray(graphs.node_multiplicity, dtype=self._float)
        crystal_of_group, group = element_groups(graphs)
        self.element = _int32(group)
        self.element_offset = np.searchsorted(crystal_of_group, np.arange(len(graphs) + 1))
        self.label = np.asarray(graphs.label, dtype=self._float)
        self.features = self._tensor(feature_table().copy())
        distances = torch.as_tensor(np.asarray(graphs.distances, dtype=np.float64))
        expanded = gaussian_expansion(distances, float(graphs.settings["radius"]), gaussians)
        self.expanded = expanded.to(self.device, dtype)
        sizes = [len(self.numbers), *(len(one.parent) for one in self.rounds)]
        self._colors = [_Numbering(size) for size in sizes]
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
        nodes, offset = slices(self.node_offset, chosen)
        crystal = np.repeat(np.arange(len(chosen), dtype=np.int32), np.diff(offset))
        _, groups = slices(self.element_offset, chosen)
        shift = _int32(groups[:-1] - self.element_offset[chosen])
        multiplicity = self.multiplicity[nodes]
        color = self.color[nodes]
        occurring = self._colors[-1](color)
        row = self._colors[-1].number[color]
        weight = _count(row, multiplicity, len(occurring))
        layers: list[Layer] = []
        for r in reversed(range(len(self.rounds))):
            # messages of any convolution are those of all edges, so distances are the same for each
            layer, occurring, weight, distances = self._layer(r, occurring, weight, gradients)
            layers.insert(0, layer)
        return Batch(
            features=self.features.index_select(0, self._integers(self.numbers[occurring])),
            expanded=self.expanded.index_select(0, self._integers(distances)),
            layers=tuple(layers),
            row=self._integers(row),
            multiplicity=self._tensor(multiplicity),
            crystal=self._integers(crystal),
            offset=self._integers(offset),
            element=self._integers(self.element[nodes] + shift[crystal]),
            elements=int(groups[-1]),
            label=self._tensor(self.label[chosen]),
        )

    def _layer(
        self, r: int, colors: Integers, weight: NDArray[np.float64], gradients: bool
    ) -> tuple[Layer, Integers, NDArray[np.float64], Integers]:
        """Convolution r for the colors after it; those before it, with weights; the distances."""
        one = self.rounds[r]
        entries, offset = slices(one.offset, colors)
        kind, count = one.message[entries], one.count[entries]
        kinds = self._messages[r](kind)
        message = self._messages[r].number[kind]
        parent = one.parent[colors]
        target, source, distance = one.target[kinds], one.source[kinds], one.distance[kinds]
        before = self._colors[r](parent, target, source)
        number = self._colors[r].number
        distances = self._distances(distance)
        parent, target, source = number[parent], number[target], number[source]
        distance = self._distances.number[distance]
        n, m, k = len(before), len(kinds), len(colors)
        width = 2 * n + len(distances)
        table = table_rows(target, source, distance, n)
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
            children=self._rows(
                np.arange(k, dtype=np.int32),
                np.searchsorted(parent, np.arange(n + 1, dtype=np.int32)),
            ),
            table_share=self._tensor(np.bincount(table, weights=share, minlength=width)),
            row_share=self._tensor(weight / weight.sum()),
            edges=int(edges.sum()),
            sites=int(weight.sum()),
        )
        return layer, before, _count(parent, weight, n), distances

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return _send(torch.from_numpy(values.astype(self._float, copy=False)), self.device)

    def _integers(self, values: NDArray[Any]) -> Tensor:
        return _send(torch.from_numpy(_int32(values)), self.device)

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


class _Numbering:
    """Numbers the things that occur in a batch, in ascending order, without sorting."""

    def __init__(self, size: int) -> None:
        self.seen = np.zeros(size, dtype=bool)
        self.number = np.zeros(size, dtype=np.int32)

    def __call__(self, *occurring: Integers) -> Integers:
        """Return the distinct things; `self.number` then maps them to 0, 1, ..."""
        for things in occurring:
            self.seen[things] = True
        distinct = np.flatnonzero(self.seen)
        self.seen[distinct] = False
        self.number[distinct] = np.arange(len(distinct))
        return distinct


def _count(things: Integers, weights: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Sum the weights of each thing."""
    return np.bincount(things, weights=weights, minlength=size).astype(np.float64, copy=False)


def element_groups(graphs: GraphSet) -> tuple[Integers, Integers]:
    """Give numbers to the elements of each crystal, crystal by crystal.

    Parameters
    ----------
    graphs
        Crystal graphs.

    Returns
    -------
    crystal
        Crystal of each such group, ascending, [groups].
    group
        Group of each node, [nodes].
    """
    node = np.repeat(np.arange(len(graphs)), np.diff(graphs.node_offset))
    elements = np.asarray(graphs.atomic_number, dtype=np.int64)
    number, group = np.unique(node * 128 + elements, return_inverse=True)
    return number // 128, group


def _int32(values: NDArray[np.integer]) -> NDArray[np.int32]:
    """As integers of the size that torch's sums read fastest."""
    return values.astype(np.int32, copy=False)


def _send(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
