"""Data set of crystal graphs on the CPU, from which batches are cut.

In convolution r of a batch one row stands for all sites of one color after r rounds, in whatever
crystal they are, and one message for all edges with the same (color of target, color of source,
distance): see `batching.merging`. Each carries the number of sites or edges that it stands for.
Outputs, gradients and batch statistics are those of the full graphs to rounding, since equal rows
would give equal numbers (Bollen et al., "Learning graph neural networks using exact compression",
GRADES-NDA 2023; there one quotient graph serves all layers, here each layer has its own, shared by
all crystals). Without merging, every stored node and edge is a color and a type of its own, and
the same code computes on the graphs as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch, SparseInputs
from defectpool.batching.expansion import gaussian_expansion, smooth_cutoff
from defectpool.batching.layer import Layer, Messages, build_layer
from defectpool.batching.merging import merge_graphs, slices
from defectpool.graphs.elements import feature_table

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


class CPUDataset:
    """All graphs of a training, from which batches are cut on the CPU.

    Parameters
    ----------
    graphs
        Crystal graphs.
    convolutions
        Number of convolutions.
    gaussians
        Gaussians of the distance expansion, from 0 Å to the graphs' radius.
    merge
        Compute equal environments once (exact). By default as the graphs were made
        (`graph.compression`).
    device, dtype
        Where and how the network computes.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    """

    on_disk = False

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
        merged = merge_graphs(graphs, convolutions, merge=merge)
        self.device, self.dtype = torch.device(device), dtype
        self.numbers, self.color, self.rounds = merged.numbers, merged.last, merged.rounds
        self.node_offset = np.asarray(graphs.node_offset, dtype=np.int64)
        self.multiplicity = np.asarray(graphs.node_multiplicity, dtype=np.float64)
        crystal_of_group, group = element_groups(graphs)
        self.element = group.astype(np.int32)
        self.element_offset = np.searchsorted(crystal_of_group, np.arange(len(graphs) + 1))
        self.label = np.asarray(graphs.label, dtype=np.float64)
        self.features = self._float(feature_table().copy())
        self.site_label = node_labels(graphs)
        self.expanded = expanded_distances(graphs, gaussians).to(self.device, dtype)
        self.cutoff = cutoff_of_distances(graphs).to(self.device, dtype)
        sizes = [len(self.numbers), *(len(one.parent) for one in self.rounds)]
        self._colors = [_Numbering(size) for size in sizes]
        self._messages = [_Numbering(len(one.target)) for one in self.rounds]
        self._distances = _Numbering(len(self.expanded))

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, indices: Sequence[int] | Integers, *, gradients: bool = True) -> Batch:
        """Put crystals together.

        Integers alone are handled here, on the CPU, while a GPU still computes the batch before.

        Parameters
        ----------
        indices
            Indices of the crystals.
        gradients
            Whether the batch is for training.
        """
        indices = np.asarray(indices, dtype=np.int64)
        nodes, offset = slices(self.node_offset, indices)
        crystal = np.repeat(np.arange(len(indices), dtype=np.int32), np.diff(offset))
        _, groups = slices(self.element_offset, indices)
        shift = (groups[:-1] - self.element_offset[indices]).astype(np.int32)
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
            inputs=SparseInputs(
                self.expanded.index_select(0, self._integers(distances)), tuple(layers)
            ),
            row=self._integers(row),
            multiplicity=self._float(multiplicity),
            crystal=self._integers(crystal),
            offset=self._integers(offset),
            element=self._integers(self.element[nodes] + shift[crystal]),
            n_elements=int(groups[-1]),
            label=self._float(self.label[indices]),
            site_label=self._send(self.site_label[nodes]),
        )

    def _layer(
        self, r: int, colors: Integers, weight: Floats, gradients: bool
    ) -> tuple[Layer, Integers, Floats, Integers]:
        """Convolution r for the colors after it; those before it, with weights; the distances."""
        one = self.rounds[r]
        entries, offset = slices(one.offset, colors)
        degree = np.diff(offset)
        types = self._messages[r](one.message[entries])
        message, count = self._messages[r].number[one.message[entries]], one.count[entries]
        parent = one.parent[colors]
        before = self._colors[r](parent, one.target[types], one.source[types])
        number = self._colors[r].number
        distances = self._distances(one.distance[types])
        messages = Messages(
            target=self._integers(number[one.target[types]]),
            source=self._integers(number[one.source[types]]),
            distance=self._integers(self._distances.number[one.distance[types]]),
            edges=self._send(_count(message, count * np.repeat(weight, degree), len(types))),
            message=self._integers(message),
            row=self._integers(np.repeat(np.arange(len(colors), dtype=np.int32), degree)),
            count=self._float(count),
            parent=self._integers(number[parent]),
            weight=self._send(weight),
        )
        cutoff = self.cutoff.index_select(0, self._integers(distances))
        layer = build_layer(messages, len(before), cutoff, gradients=gradients)
        return layer, before, _count(number[parent], weight, len(before)), distances

    def _float(self, values: NDArray[Any]) -> Tensor:
        return self._send(values).to(self.dtype)

    def _integers(self, values: NDArray[Any]) -> Tensor:
        """Send integers of the size that torch's sums read fastest."""
        return self._send(values.astype(np.int32, copy=False))

    def _send(self, values: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(values)
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


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


def _count(things: Integers, weights: NDArray[Any], size: int) -> Floats:
    """Sum the weights of each thing."""
    return np.bincount(things, weights=weights, minlength=size).astype(np.float64, copy=False)


def element_groups(graphs: GraphSet) -> tuple[Integers, Integers]:
    """Groups of the nodes of one element in one crystal.

    Parameters
    ----------
    graphs
        Crystal graphs.

    Returns
    -------
    crystal
        Crystal of each group, ascending, [groups].
    group
        Group of each node, [nodes].
    """
    node = np.repeat(np.arange(len(graphs)), np.diff(graphs.node_offset))
    elements = np.asarray(graphs.atomic_number, dtype=np.int64)
    number, group = np.unique(node * 128 + elements, return_inverse=True)
    return number // 128, group


def expanded_distances(graphs: GraphSet, gaussians: int) -> Tensor:
    """Gaussian expansions of all distances of some graphs, float64, [distances, gaussians]."""
    distances = torch.as_tensor(np.asarray(graphs.distances, dtype=np.float64))
    return gaussian_expansion(distances, float(graphs.settings["radius"]), gaussians)


def cutoff_of_distances(graphs: GraphSet) -> Tensor:
    """Smooth weights of all distances of some graphs, float64, [distances]."""
    distances = torch.as_tensor(np.asarray(graphs.distances, dtype=np.float64))
    return smooth_cutoff(distances, float(graphs.settings["radius"]))


def node_labels(graphs: GraphSet) -> NDArray[np.int64]:
    """Class of the sites of each node, [nodes]; the largest where sites of several are one node."""
    shift = np.repeat(graphs.node_offset[:-1], np.diff(graphs.site_offset))
    labels = np.zeros(len(graphs.atomic_number), dtype=np.int64)
    np.maximum.at(labels, graphs.site_class + shift, graphs.site_label)
    return labels
