"""Data set of crystal graphs on the device of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.gpu_dataset import GPUDataset

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

Dataset = CPUDataset | GPUDataset


def dataset_on(
    device: torch.device, graphs: GraphSet, convolutions: int, gaussians: int
) -> Dataset:
    """Return the data set that suits a device; graphs that a GPU cannot hold stay on the CPU."""
    if device.type == "cuda":
        try:
            return GPUDataset(graphs, convolutions, gaussians, device=device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    return CPUDataset(graphs, convolutions, gaussians, device=device)
