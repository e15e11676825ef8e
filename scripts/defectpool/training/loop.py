"""Training loop of one fold: resume, epoch, evaluate, select, record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.dataset import Dataset
from defectpool.config import TrainingSettings
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.training.objective import Objective
from defectpool.training.optimization import batches_of, make_optimizer, validation_score
from defectpool.training.stepper import Limits, Stepper

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat: what it trains on, validates on and tests on (indices of graphs)."""

    repeat: int
    number: int
    train: Indices
    validation: Indices
    test: Indices


@dataclass
class BestEpoch:
    """The best epoch so far by some score, and what is kept of it."""

    score: float
    epoch: int
    answers: Tensor
    temperature: float | None = None
    weights: dict[str, Tensor] | None = None


@dataclass
class Progress:
    """How far the training of a fold is.

    Attributes
    ----------
    epoch
        Epochs that are complete.
    losses, n_correct
        Of the batches of the present epoch, on the device.
    seconds
        Of the present epoch, up to the checkpoint that the job was resumed from.
    history
        One row an epoch.
    best
        By the validation score, with the weights.
    best_on_test
        By the accuracy on the test fold, as the published table chose it.
    started
        When the present epoch began, by this process's clock.
    """

    epoch: int = 0
    losses: list[Tensor] = field(default_factory=list)
    n_correct: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: BestEpoch | None = None
    best_on_test: BestEpoch | None = None
    started: float = 0.0

    def start_next_epoch(self) -> None:
        """Count the epoch that ends."""
        self.epoch, self.seconds, self.losses, self.n_correct = self.epoch + 1, 0.0, [], []


@dataclass(frozen=True)
class FoldResult:
    """What the training of a fold gives."""

    fold: Fold
    history: list[dict[str, Any]]
    best: BestEpoch
    best_on_test: BestEpoch


@dataclass(frozen=True)
class Callbacks:
    """What the loop tells its caller.

    Attributes
    ----------
    before_step
        Called before each step with a function that returns the content of a checkpoint.
    epoch_done
        Called after each epoch with its row of the history.
    not_finite
        Called with the graphs of a batch whose loss is not finite, and the epoch; it raises.
    say
        Told what is done instead when memory runs out.
    """

    before_step: Callable[[Callable[[], dict[str, Any]]], None]
    epoch_done: Callable[[dict[str, Any]], None]
    not_finite: Callable[[Indices, int], None]
    say: Callable[[str], None]


def train_fold(
    network: CrystalGraphNetwork,
    dataset: Dataset,
    fold: Fold,
    training: TrainingSettings,
    objective: Objective,
    limits: Limits,
    callbacks: Callbacks,
    resumed: dict[str, Any] | None = None,
) -> FoldResult:
    """Train and test one fold.

    Parameters
    ----------
    network
        The network, initialized, on the device.
    dataset
        All graphs, labeled for the objective.
    fold, training, objective
        The graphs of the fold, how the network is trained, and what it learns.
    limits, callbacks
        What the device holds, and what the caller is told.
    resumed
        Content of a checkpoint of this fold.
    """
    optimizer, schedule = make_optimizer(network, training, len(fold.train))
    progress = resume(resumed, network, optimizer, schedule) if resumed else Progress()
    stepper = Stepper(network, optimizer, dataset, objective, limits, callbacks.say)
    watched = np.concatenate([fold.validation, fold.test])
    label = torch.as_tensor(dataset.label[watched], device=dataset.device)
    while progress.epoch < training.epochs:
        progress.started = time.monotonic() - progress.seconds
        batches = batches_of(fold.train, training, fold.repeat, fold.number, progress.epoch)
        for batch in batches[len(progress.losses) :]:
            callbacks.before_step(lambda: content(progress, network, optimizer, schedule))
            loss, n_correct = stepper.step(batch)
            schedule.step()
            progress.losses.append(loss)
            progress.n_correct.append(n_correct)
        losses = finite_losses(progress, batches, callbacks)
        logits = stepper.evaluate(watched)
        correct = objective.correct(logits, label).cpu().numpy()
        progress.history.append(epoch_row(fold, progress, losses, batches, correct))
        validation = len(fold.validation)
        temperature = objective.temperature(logits[:validation], label[:validation])
        answers = objective.answers(logits[validation:] / (temperature or 1.0))
        select(progress, training, answers, temperature, network)
        progress.start_next_epoch()
        callbacks.epoch_done(progress.history[-1])
    assert progress.best is not None and progress.best_on_test is not None
    return FoldResult(fold, progress.history, progress.best, progress.best_on_test)


def finite_losses(progress: Progress, batches: list[Indices], callbacks: Callbacks) -> list[float]:
    """Losses of the batches of an epoch; the caller is told of one that is not finite."""
    losses: list[float] = torch.stack(progress.losses).tolist()
    for batch, loss in zip(batches, losses, strict=True):
        if not np.isfinite(loss):
            callbacks.not_finite(batch, progress.epoch + 1)
    return losses


def epoch_row(
    fold: Fold,
    progress: Progress,
    losses: list[float],
    batches: list[Indices],
    correct: NDArray[np.bool_],
) -> dict[str, Any]:
    """Row of the history for the epoch that ends."""
    return {
        "repeat": fold.repeat,
        "fold": fold.number,
        "epoch": progress.epoch + 1,
        "loss": float(np.average(losses, weights=[len(batch) for batch in batches])),
        "train_accuracy": int(torch.stack(progress.n_correct).sum()) / len(fold.train),
        "validation_accuracy": float(correct[: len(fold.validation)].mean()),
        "test_accuracy": float(correct[len(fold.validation) :].mean()),
        "seconds": round(time.monotonic() - progress.started, 4),
    }


def select(
    progress: Progress,
    training: TrainingSettings,
    answers: Tensor,
    temperature: float | None,
    network: CrystalGraphNetwork,
) -> None:
    """Keep the epoch that ends where it is the best so far; among equal ones the last."""
    epoch = progress.epoch + 1
    score = validation_score([row["validation_accuracy"] for row in progress.history], training)
    if score is not None and (progress.best is None or score >= progress.best.score):
        progress.best = BestEpoch(score, epoch, answers, temperature, on_cpu(network.state_dict()))
    accuracy = progress.history[-1]["test_accuracy"]
    if progress.best_on_test is None or accuracy >= progress.best_on_test.score:
        progress.best_on_test = BestEpoch(accuracy, epoch, answers, temperature)


def content(
    progress: Progress,
    network: CrystalGraphNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> dict[str, Any]:
    """Content of a checkpoint: plain values and tensors."""
    return {
        **vars(progress),
        "losses": [float(x) for x in progress.losses],
        "n_correct": [int(x) for x in progress.n_correct],
        "seconds": time.monotonic() - progress.started,
        "best": progress.best and vars(progress.best),
        "best_on_test": progress.best_on_test and vars(progress.best_on_test),
        "network": on_cpu(network.state_dict()),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }


def resume(
    saved: dict[str, Any],
    network: CrystalGraphNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Progress:
    """Put network, optimizer and schedule back to a checkpoint; return the progress there."""
    saved, device = dict(saved), next(network.parameters()).device
    network.load_state_dict(saved.pop("network"))
    optimizer.load_state_dict(saved.pop("optimizer"))
    schedule.load_state_dict(saved.pop("schedule"))
    for name in ("losses", "n_correct"):
        saved[name] = [torch.tensor(x, device=device) for x in saved[name]]
    for name in ("best", "best_on_test"):
        saved[name] = saved[name] and BestEpoch(**saved[name])
    return Progress(**saved)


def on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy weights to the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
