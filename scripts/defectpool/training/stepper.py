"""The network on batches: a step of training, and logits of graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from defectpool.batching.batch import Batch
from defectpool.batching.cpu_dataset import Dataset
from defectpool.batching.gpu_dataset import Resident
from defectpool.network.cgcnn import CrystalGraphNetwork

# Crystals that are evaluated together: no gradients are kept, so more fit than in training.
EVALUATION_BATCH = 256


def predict(
    network: CrystalGraphNetwork, dataset: Dataset | Resident, rows: NDArray[np.int64]
) -> Tensor:
    """Return the logits of some graphs of a data set."""
    return logits_of(network, evaluation_batches(dataset, rows, EVALUATION_BATCH))


def evaluation_batches(
    dataset: Dataset | Resident, rows: NDArray[np.int64], together: int
) -> list[Batch]:
    """Cut batches of so many graphs, in order, without what gradients need."""
    return [
        dataset.batch(rows[i : i + together], gradients=False)
        for i in range(0, len(rows), together)
    ]


def logits_of(network: CrystalGraphNetwork, batches: list[Batch]) -> Tensor:
    """Return the logits of the graphs of some batches, in order."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in batches])


def train_step(
    network: CrystalGraphNetwork,
    optimizer: torch.optim.Optimizer,
    dataset: Dataset | Resident,
    rows: NDArray[np.int64],
    parts: int = 1,
) -> tuple[Tensor, Tensor]:
    """Take one step on some graphs.

    Parameters
    ----------
    parts
        Parts in which the batch is computed, one after the other; their gradients are added.

    Returns
    -------
    tuple of Tensor
        Mean loss, and number of graphs that were right before the step, both on the device.
    """
    if not network.training:
        network.train()
    optimizer.zero_grad(set_to_none=True)
    loss = right = torch.zeros((), device=dataset.device)
    for part in np.array_split(rows, parts):
        share, correct = add_gradients(network, dataset.batch(part), len(rows))
        loss, right = loss + share, right + correct
    optimizer.step()
    return loss, right


def add_gradients(network: CrystalGraphNetwork, batch: Batch, of: int) -> tuple[Tensor, Tensor]:
    """Add the gradients of some graphs, which are part of a batch of `of`.

    Returns
    -------
    tuple of Tensor
        Their share of the mean loss, and number of graphs that were right, both on the device.
    """
    logits = network(batch)[: len(batch.label)]  # the ghost of a padded batch has no label
    total = F.binary_cross_entropy_with_logits(logits, batch.label, reduction="sum")
    (total / of).backward()
    return total.detach() / of, ((logits.detach() > 0) == (batch.label > 0.5)).sum()


def keep_statistics(network: CrystalGraphNetwork) -> Callable[[], None]:
    """Return what undoes a step before the optimizer's: statistics as now, and no gradients."""
    buffers = list(network.buffers())
    kept = [buffer.clone() for buffer in buffers]

    def restore() -> None:
        for buffer, old in zip(buffers, kept, strict=True):
            buffer.copy_(old)
        network.zero_grad(set_to_none=True)

    return restore
