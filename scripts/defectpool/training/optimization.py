"""Optimization: the optimizer and its schedule, the batches of an epoch, the choice of the epoch.

Everything random comes from hashes of the seed, the repeat, the fold and the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from defectpool.config import TrainingSettings
from defectpool.runtime.hashing import seed as seed_of

# Epochs over which the validation accuracy is averaged before the best one is taken: of a few dozen
# structures a single epoch may be predicted correctly by chance.
VALIDATION_WINDOW = 5


def n_batches(n_train: int, training: TrainingSettings) -> int:
    """Return the number of batches in an epoch."""
    return -(-n_train // training.batch_size)


def make_optimizer(
    network: nn.Module, training: TrainingSettings, n_train: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW with a one-cycle schedule over all epochs of so many training graphs."""
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=training.learning_rate,
        total_steps=training.epochs * n_batches(n_train, training),
    )
    return optimizer, schedule


def batches_of(
    train: NDArray[np.int64], training: TrainingSettings, repeat: int, fold: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Split the training graphs into the batches of an epoch: the same for every pooling."""
    random = np.random.default_rng(seed_of(training.seed, "batches", repeat, fold, epoch))
    return np.array_split(random.permutation(train), n_batches(len(train), training))


def validation_score(accuracies: Sequence[float], training: TrainingSettings) -> float | None:
    """Judge the last of the epochs so far by its validation accuracy and those just before it.

    The epoch that is kept is the one with the highest score; among equal ones the last, for which
    the learning rate has come down furthest.

    Returns
    -------
    float or None
        Mean of the last five; None while there are fewer (and more to come).
    """
    window = min(VALIDATION_WINDOW, training.epochs)
    return round(float(np.mean(accuracies[-window:])), 9) if len(accuracies) >= window else None
