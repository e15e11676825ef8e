"""Data set of crystal graphs on the device of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.batching.merging import is_compressed
from defectpool.batching.neighbor_dataset import NeighborDataset, is_disordered

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Dataset = CPUDataset | NeighborDataset | GPUDataset


def dataset_on(
    device: torch.device, graphs: GraphSet, convolutions: int, gaussians: int
) -> Dataset:
    """Return the data set that suits a device.

    Graphs that a GPU cannot hold, and those on disk, are put into batches by the CPU.
    """
    if device.type == "cuda" and not graphs.on_disk:
        try:
            return GPUDataset(graphs, convolutions, gaussians, device=device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    return cpu_dataset(graphs, convolutions, gaussians, device=device)


def cpu_dataset(
    graphs: GraphSet,
    convolutions: int,
    gaussians: int,
    *,
    merge: bool | None = None,
    device: str | torch.device = "cpu",
) -> CPUDataset | NeighborDataset:
    """Return neighbor lists where sites do not repeat each other, else merged graphs.

    Parameters
    ----------
    graphs, convolutions, gaussians
        As for `CPUDataset`.
    merge
        Merge sites that repeat each other. By default as the graphs were made
        (`graph.compression`).
    device
        Where the network computes.
    """
    wanted = is_compressed(graphs) if merge is None else merge
    if wanted and not is_disordered(graphs):
        return CPUDataset(graphs, convolutions, gaussians, merge=merge, device=device)
    return NeighborDataset(graphs, convolutions, gaussians, device=device)
