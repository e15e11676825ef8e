"""Plain training steps, and logits of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch
from defectpool.batching.dataset import Dataset
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.training.objective import Binary, Objective

Indices = NDArray[np.int64]

# Crystals that are evaluated together: no gradients are kept, so more fit than in training.
EVALUATION_BATCH = 256


def predict(network: CrystalGraphNetwork, dataset: Dataset, indices: Indices) -> Tensor:
    """Return the logits of some graphs of a data set."""
    return logits_of(network, evaluation_batches(dataset, indices, EVALUATION_BATCH))


def evaluation_batches(dataset: Dataset, indices: Indices, together: int) -> Iterator[Batch]:
    """Cut batches of so many graphs, in order, without what gradients need."""
    for i in range(0, len(indices), together):
        yield dataset.batch(indices[i : i + together], gradients=False)


def logits_of(network: CrystalGraphNetwork, batches: Iterable[Batch]) -> Tensor:
    """Return the logits of the graphs of some batches, in order."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in batches])


def train_step(
    network: CrystalGraphNetwork,
    optimizer: torch.optim.Optimizer,
    dataset: Dataset,
    indices: Indices,
    objective: Objective | None = None,
    micro_batches: int = 1,
) -> tuple[Tensor, Tensor]:
    """Take one plain step on some graphs.

    Parameters
    ----------
    micro_batches
        Parts in which the batch is computed, one after the other; their gradients are added.

    Returns
    -------
    tuple of Tensor
        Mean loss, and number of graphs that were predicted correctly before the step, both on the
        device.
    """
    if not network.training:
        network.train()
    optimizer.zero_grad(set_to_none=True)
    loss = n_correct = torch.zeros((), device=dataset.device)
    for part in np.array_split(indices, micro_batches):
        share, correct = add_gradients(
            network, dataset.batch(part), len(indices), objective or Binary()
        )
        loss, n_correct = loss + share, n_correct + correct
    optimizer.step()
    return loss, n_correct


def add_gradients(
    network: CrystalGraphNetwork, batch: Batch, of: int, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Add the gradients of some graphs, which are part of a batch of `of`.

    Returns
    -------
    tuple of Tensor
        Their share of the mean loss, and number of graphs that were predicted correctly, both on
        the device.
    """
    total, logits = objective.loss(network, batch)
    (total / of).backward()
    return total.detach() / of, objective.correct(logits.detach(), batch.label).sum()


def keep_statistics(network: CrystalGraphNetwork) -> Callable[[], None]:
    """Return what undoes a step before the optimizer's: statistics as now, and no gradients."""
    buffers = list(network.buffers())
    kept = [buffer.clone() for buffer in buffers]

    def restore() -> None:
        for buffer, old in zip(buffers, kept, strict=True):
            buffer.copy_(old)
        network.zero_grad(set_to_none=True)

    return restore
