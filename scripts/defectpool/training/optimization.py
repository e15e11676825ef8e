"""What every training does alike: the optimizer, the batches, the choice of the epoch, the tables.

Everything that is drawn comes from hashes of the seed, the repeat, the fold and the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from defectpool.config import TrainingSettings
from defectpool.runtime.hashing import seed as seed_of

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet

# Epochs over which the validation accuracy is averaged before the best one is taken: of a few dozen
# structures a single epoch may have many right by luck.
VALIDATION_WINDOW = 5

NAMES = ("structure", "host", "formula", "pair", "name")


def steps_of(train: NDArray[np.int64], training: TrainingSettings) -> int:
    """Return the number of batches in an epoch."""
    return -(-len(train) // training.batch_size)


def optimizer_of(
    network: nn.Module, training: TrainingSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW with a one-cycle schedule over all epochs of `steps` batches."""
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.learning_rate, total_steps=training.epochs * steps
    )
    return optimizer, schedule


def batches_of(
    train: NDArray[np.int64], training: TrainingSettings, repeat: int, fold: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Split the training rows into the batches of an epoch: the same for every pooling."""
    drawn = np.random.default_rng(seed_of(training.seed, "batches", repeat, fold, epoch))
    return np.array_split(drawn.permutation(train), steps_of(train, training))


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


def tested(
    graphs: GraphSet, rows: NDArray[np.int64], names: Sequence[str] = NAMES, **columns: Any
) -> pd.DataFrame:
    """Table of tested structures: their names, then these columns."""
    texts = {name: np.asarray(getattr(graphs, name))[rows].astype(str) for name in names}
    return pd.DataFrame({**texts, **columns, "row": rows})


def in_order(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of `tested` together, by repeat and then in the order of the graphs."""
    table = pd.concat(tables).sort_values(["repeat", "row"], kind="stable")
    return table.drop(columns="row").reset_index(drop=True)
