"""Data set of crystal graphs on a GPU, from which batches are cut there.

On a CPU it is fastest to compute once what the crystals of a batch have in common (`cpu_dataset`).
A GPU computes the few rows more in the same time, and would wait for the CPU to find them. So here
equal environments share a row within their crystal alone: what a batch needs are slices of arrays
that are on the device from the start. The lengths of the slices are known on the CPU, so nothing
waits for the device.

A *padded* batch has the same sizes whatever its crystals are, so that a step on it can be captured
as one CUDA graph and replayed (`training.cuda_graphs`). It is filled up by a padding graph: one
more crystal, after all others, of one site that no sum counts, repeated as often as needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch, SparseInputs
from defectpool.batching.cpu_dataset import (
    cutoff_of_distances,
    element_groups,
    expanded_distances,
    node_labels,
)
from defectpool.batching.layer import Layer, Messages, build_layer
from defectpool.batching.merging import Round, merge_graphs
from defectpool.batching.ragged import RaggedArrays, Slice, int32_on
from defectpool.batching.sparse import offsets
from defectpool.graphs.elements import feature_table

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Integers = NDArray[np.integer[Any]]


class _Convolution:
    """The messages of one convolution for all crystals (`merging.Round`), on the device.

    All numbers are those of the whole data set; the last is the padding graph's, which counts for
    nothing.

    Attributes
    ----------
    target, source, distance
        Rows in and distance of each message, [messages].
    edges
        Edges that each message stands for, [messages].
    message, count, row
        Message, multiplicity and row out of each entry of the sums, [entries].
    parent, weight
        Row in of each row out, and the sites that it stands for, [rows out].
    """

    def __init__(self, one: Round, weight: Integers, device: torch.device) -> None:
        degree = np.diff(one.offset)
        edges = np.bincount(
            one.message, weights=one.count * np.repeat(weight, degree), minlength=len(one.target)
        )
        row = np.repeat(np.arange(len(degree)), degree)
        self.target = _with_padding(one.target, device)
        self.source = _with_padding(one.source, device)
        self.distance = _with_padding(one.distance, device)
        self.edges = _with_padding(edges, device).double()
        self.message = _with_padding(one.message, device)
        self.count = _with_padding(one.count, device)
        self.row = _with_padding(row, device)
        self.parent = _with_padding(one.parent, device)
        self.weight = _with_padding(weight, device).double()


class GPUDataset:
    """All graphs of a training on a GPU, from which batches are cut there.

    A batch has the same outputs, gradients and statistics as one of `CPUDataset`, to rounding.

    Parameters
    ----------
    graphs, convolutions, gaussians, merge, device, dtype
        As for `CPUDataset`.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    torch.OutOfMemoryError
        The device does not hold the graphs.
    """

    on_disk = False

    def __init__(
        self,
        graphs: GraphSet,
        convolutions: int,
        gaussians: int,
        *,
        merge: bool | None = None,
        device: str | torch.device = "cuda",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        device, crystals = self.device, len(graphs)
        merged = merge_graphs(graphs, convolutions, merge=merge, across=False)
        multiplicity = np.asarray(graphs.node_multiplicity, dtype=np.int64)
        node = np.repeat(np.arange(crystals), np.diff(graphs.node_offset))
        crystal_of_element, element = element_groups(graphs)
        # from the last convolution to the first: sites of each row, and the crystal of each item
        weight = np.bincount(merged.last, weights=multiplicity).astype(np.int64)
        row = np.empty(len(weight), dtype=np.int64)
        row[merged.last] = node
        self.convolutions: list[_Convolution] = []
        places = [row]
        for one in reversed(merged.rounds):
            before = np.empty(int(one.parent[-1]) + 1, dtype=np.int64)
            before[one.parent] = row
            message, entry = before[one.target], np.repeat(row, np.diff(one.offset))
            self.convolutions.insert(0, _Convolution(one, weight, device))
            places = [before, message, entry, *places]
            weight = np.bincount(one.parent, weights=weight).astype(np.int64)
            row = before
        self.ragged = RaggedArrays([node, crystal_of_element, *places], crystals, device)
        self.number = _with_padding(merged.numbers, device)
        self.row = _with_padding(merged.last, device)
        self.element = _with_padding(element, device)
        # the poolings of the padding graph divide by the number of its sites
        self.multiplicity = _with_padding(multiplicity, device, 1).to(dtype)
        self.features = torch.from_numpy(feature_table().copy()).to(device, dtype)
        self.label = torch.from_numpy(np.asarray(graphs.label)).to(device, dtype)
        self.site_label = _with_padding(node_labels(graphs), device)
        self.expanded = expanded_distances(graphs, gaussians).to(device, dtype)
        self.cutoff = cutoff_of_distances(graphs).to(device, dtype)

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, indices: Sequence[int] | Integers, *, gradients: bool = True) -> Batch:
        """Put crystals together.

        Parameters
        ----------
        indices
            Indices of the crystals.
        gradients
            Whether the batch is for training.
        """
        indices = np.asarray(indices, dtype=np.int64)
        index = self.send(indices)
        return self._batch(
            index, self.ragged.slices(index, self.ragged.totals(indices)), gradients=gradients
        )

    def padded(self, index: Tensor, sizes: list[int]) -> Batch:
        """Put crystals together, and a padding graph after them, to the same sizes always.

        Parameters
        ----------
        index
            Indices of the crystals, all different, on the device.
        sizes
            `padded_sizes` of the number of crystals.
        """
        return self._batch(index, self.ragged.slices(index, sizes, padded=True), gradients=True)

    def padded_sizes(self, size: int) -> list[int]:
        """Sizes of a padded batch of so many crystals: enough for the largest."""
        return self.ragged.padded_sizes(size)

    def send(self, indices: Integers) -> Tensor:
        """Send indices of crystals to the device; the CPU does not wait for it."""
        numbers = torch.from_numpy(indices.astype(np.int32))
        if self.device.type == "cuda":  # only from pinned memory it need not wait
            numbers = numbers.pin_memory()
        return numbers.to(self.device, non_blocking=True)

    def _batch(self, index: Tensor, slices: list[Slice], *, gradients: bool) -> Batch:
        nodes, elements, *places = slices
        rows = places[::3]
        return Batch(
            features=self.features.index_select(0, rows[0].of(self.number)),
            inputs=SparseInputs(
                self.expanded,
                tuple(
                    self._layer(one, *places[3 * r : 3 * r + 4], gradients=gradients)
                    for r, one in enumerate(self.convolutions)
                ),
            ),
            row=nodes.numbers(self.row, rows[-1]),
            multiplicity=nodes.of(self.multiplicity),
            crystal=nodes.crystal,
            offset=offsets(nodes.crystal, len(nodes.shift)),
            element=nodes.numbers(self.element, elements),
            n_elements=elements.total,
            label=self.label.index_select(0, index),
            site_label=nodes.of(self.site_label).long(),
        )

    def _layer(
        self, one: _Convolution, before: Slice, messages: Slice, entries: Slice, after: Slice,
        *, gradients: bool,
    ) -> Layer:  # fmt: skip
        distance = messages.of(one.distance)
        if messages.padding is not None:
            distance = messages.padding.over(distance, 0, len(self.expanded))
        found = Messages(
            target=messages.numbers(one.target, before),
            source=messages.numbers(one.source, before),
            distance=distance,
            edges=messages.of(one.edges),
            message=entries.numbers(one.message, messages),
            row=entries.numbers(one.row, after),
            count=entries.of(one.count).to(self.dtype),
            parent=after.numbers(one.parent, before),
            weight=after.of(one.weight),
        )
        return build_layer(found, before.total, self.cutoff, gradients=gradients)


def _with_padding(values: NDArray[Any], device: torch.device, padding: int = 0) -> Tensor:
    return int32_on(np.append(values, padding), device)
