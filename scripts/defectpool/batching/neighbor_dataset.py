"""Data set of crystal graphs in which sites do not repeat each other.

Where atoms are displaced there is nothing to merge (`batching.cpu_dataset`). The crystals of a
batch are put side by side, as neighbor lists: for compiled sums on a CPU, and as sparse sums, which
are made here on the CPU, for a GPU that does not hold all graphs (`batching.gpu_dataset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from defectpool.batching.batch import Batch, SparseInputs, on_device
from defectpool.batching.cpu_dataset import element_groups, node_labels
from defectpool.batching.merging import check_rounds
from defectpool.batching.neighbor_lists import Distances, NeighborLists, blocks_of
from defectpool.batching.neighbor_pairs import NeighborPairs, neighbor_pairs, pairs_of_edges
from defectpool.graphs.elements import feature_table
from defectpool.graphs.graph_set import edges_of_nodes

if TYPE_CHECKING:
    from defectpool.graphs.disk_array import DiskArray
    from defectpool.graphs.graph_set import GraphSet

Integers = NDArray[np.integer[Any]]


class NeighborDataset:
    """All graphs of a training as neighbor lists.

    A batch has the same outputs, gradients and statistics as one of `CPUDataset`, to rounding.

    Parameters
    ----------
    graphs, convolutions, gaussians, device, dtype
        As for `CPUDataset`.

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
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_rounds(graphs, convolutions)
        self.device, self.dtype, self.convolutions = torch.device(device), dtype, convolutions
        self.graphs, self.on_disk = graphs, graphs.on_disk
        self.distances = Distances.of(
            np.asarray(graphs.distances, dtype=np.float64),
            float(graphs.settings["radius"]),
            gaussians,
            dtype,
        )
        self.degree = edges_of_nodes(graphs)
        # of graphs on disk they are made for each batch
        self.pairs = None if self.on_disk else neighbor_pairs(graphs)
        crystal_of_group, group = element_groups(graphs)
        self.element = group.astype(np.int32)
        self.element_offset = np.searchsorted(crystal_of_group, np.arange(len(graphs) + 1))
        self.label = np.asarray(graphs.label, dtype=np.float64)
        self.site_label = node_labels(graphs)
        self.features = torch.from_numpy(feature_table().copy()).to(dtype)

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, indices: Sequence[int] | Integers, *, gradients: bool = True) -> Batch:
        """Put crystals together, as `CPUDataset.batch` does."""
        indices = np.asarray(indices, dtype=np.int64)
        graphs = self.graphs
        nodes = _Slices(graphs.node_offset, indices)
        edges = _Slices(graphs.edge_offset, indices)
        groups = np.diff(self.element_offset)[indices]
        first_group = np.concatenate([[0], np.cumsum(groups)])
        shift = first_group[:-1] - self.element_offset[indices]
        crystal = np.repeat(np.arange(len(indices), dtype=np.int32), np.diff(nodes.offset))
        offset = np.concatenate([[0], np.cumsum(nodes.of(self.degree))]).astype(np.int32)
        source = nodes.offset[:-1].astype(np.int32).repeat(np.diff(edges.offset))
        source += edges.of(graphs.source)
        distance, count = edges.of(graphs.edge_distance), edges.of(graphs.edge_multiplicity)
        if self.pairs is None:
            target = np.repeat(np.arange(len(crystal)), np.diff(offset))
            kinds = len(graphs.distances)
            pairs = pairs_of_edges(source, target, distance, count, nodes.offset, kinds)
        else:
            pairs = _pairs_of(self.pairs, graphs.node_offset, indices, nodes)
        multiplicity = nodes.of(graphs.node_multiplicity).astype(np.float64)
        numpy_type = self.distances.value.dtype
        lists = NeighborLists(
            offset=offset,
            source=source,
            distance=distance,
            count=count.astype(numpy_type),
            multiplicity=multiplicity,
            distances=self.distances,
            pairs=pairs.typed(numpy_type),
            blocks=blocks_of(nodes.offset, offset),
            convolutions=self.convolutions,
            gradients=gradients,
        )
        numbers = torch.from_numpy(nodes.of(graphs.atomic_number).astype(np.int32))
        on_cpu = self.device.type == "cpu"
        batch = Batch(
            features=self.features if on_cpu else self.features.index_select(0, numbers),
            inputs=lists if on_cpu else SparseInputs(lists.expanded, lists.layers),
            row=torch.arange(len(crystal), dtype=torch.int32),
            multiplicity=torch.from_numpy(multiplicity).to(self.dtype),
            crystal=torch.from_numpy(crystal),
            offset=torch.from_numpy(nodes.offset.astype(np.int32)),
            element=torch.from_numpy(nodes.of(self.element) + shift.astype(np.int32)[crystal]),
            n_elements=int(first_group[-1]),
            label=torch.from_numpy(self.label[indices]).to(self.dtype),
            site_label=torch.from_numpy(nodes.of(self.site_label)),
            feature_row=numbers if on_cpu else None,
        )
        return batch if on_cpu else on_device(batch, self.device)


class _Slices:
    """Slices of flat arrays, one a crystal, put together."""

    def __init__(self, offset: Integers, chosen: Integers) -> None:
        self.pairs = list(zip(offset[chosen].tolist(), offset[chosen + 1].tolist(), strict=True))
        lengths = np.array([end - begin for begin, end in self.pairs], dtype=np.int64)
        self.offset = np.concatenate([[0], np.cumsum(lengths)])

    def of(self, values: NDArray[Any] | DiskArray) -> NDArray[Any]:
        if not self.pairs:
            return values[:0]
        return np.concatenate([values[begin:end] for begin, end in self.pairs])


def _pairs_of(
    pairs: NeighborPairs, node_offset: Integers, indices: Integers, nodes: _Slices
) -> NeighborPairs:
    """Pairs of neighbors of some crystals, whose nodes are put together."""
    slices = _Slices(pairs.offset[node_offset], indices)
    shift = nodes.offset[:-1] - node_offset[indices]
    number = nodes.of(pairs.offset[1:]) - nodes.of(pairs.offset[:-1])
    return NeighborPairs(
        np.concatenate([[0], np.cumsum(number)]),
        slices.of(pairs.other) + shift.repeat(np.diff(slices.offset)),
        slices.of(pairs.distance),
        slices.of(pairs.count),
    )


def is_disordered(graphs: GraphSet) -> bool:
    """Whether no site repeats another in most of the crystals."""
    sites, nodes = np.diff(graphs.site_offset), np.diff(graphs.node_offset)
    return bool(np.mean(sites == nodes) > 0.5)
