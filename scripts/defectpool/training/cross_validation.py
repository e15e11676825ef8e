"""Cross-validation: train and test a run on all folds and repeats, with predictions for every host.

Everything random (folds, weights, order of batches) comes from hashes of the seed, the repeat, the
fold and the epoch, and nothing from the pooling or the convolution: all poolings see the same hosts
in the same batches and start from the same weights. So there is no state of a random generator to
save, and a training that is resumed from a checkpoint is the same, bit for bit on a CPU with the
same number of threads, as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from defectpool.batching.dataset import Dataset, dataset_on
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs.graph_set import pieces
from defectpool.network.initial import initial_network
from defectpool.runtime import run_record
from defectpool.runtime.hashing import seed as seed_of
from defectpool.runtime.memory import keep_memory
from defectpool.runtime.signals import collected_signals
from defectpool.training import checkpoint
from defectpool.training import device as devices
from defectpool.training.artifacts import Artifacts, predictions_of
from defectpool.training.loop import BestEpoch, Callbacks, Fold, FoldResult, Indices, train_fold
from defectpool.training.objective import Binary, Objective
from defectpool.training.progress import ProgressBar
from defectpool.training.splits import assign_folds, of_some_hosts
from defectpool.training.stepper import Limits

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

CHECKPOINT = "training.state"


class Interrupted(SystemExit):
    """SIGTERM, SIGUSR1 or SIGHUP came; a checkpoint is saved. Exit status 75: "try again later"."""

    def __init__(self, path: Path) -> None:
        super().__init__(75)
        self.path = path

    def __str__(self) -> str:
        return f"interrupted; the checkpoint is {self.path}"


@dataclass(frozen=True)
class Run:
    """A row of the table: what is trained, and how.

    Attributes
    ----------
    pooling, convolution
        Readout and convolution of the network.
    network, training
        Sections of the config.
    objective
        What is learned.
    title
        What progress is reported under.
    code
        Digest of the code: a checkpoint of other code is not used.
    threads
        Threads of torch. Sums are split among threads, so only the same number gives the same
        bits; one thread a run and several runs at once is also what is fastest.
    """

    pooling: str
    convolution: str
    network: NetworkSettings
    training: TrainingSettings
    objective: Objective = field(default_factory=Binary)
    title: str = "training"
    code: str = ""
    threads: int = 1


@dataclass
class State:
    """State of a run: what its checkpoint holds.

    Attributes
    ----------
    finished
        Results of the folds that are finished.
    current
        Content of the checkpoint of the present fold, if it has begun.
    seconds, graphs, resumed
        Seconds and graphs trained on so far, by all jobs, and how often it was resumed.
    """

    finished: list[dict[str, Any]] = field(default_factory=list)
    current: dict[str, Any] | None = None
    seconds: float = 0.0
    graphs: int = 0
    resumed: int = 0


class SharedDataset:
    """Data set of several runs on the same graphs: made for the first, on the device ever since."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._dataset: Dataset | None = None

    def of(self, device: torch.device, graphs: GraphSet, size: NetworkSettings) -> Dataset:
        """Return the data set of the graphs; another one if device, labels or size differ."""
        key = (device, size.n_convolutions, size.gaussians, np.asarray(graphs.label).tobytes())
        if self._dataset is None or key != self._key:
            self._dataset = None  # before the next one is made: a GPU may not hold both
            self._dataset = dataset_on(device, graphs, size.n_convolutions, size.gaussians)
            self._key = key
        return self._dataset


def cross_validate(
    graphs: GraphSet,
    run: Run,
    folder: Path,
    *,
    prototypes: Mapping[str, str] | None = None,
    save_every: float = 30.0,
    shared: SharedDataset | None = None,
) -> Artifacts:
    """Train and test on all folds.

    Parameters
    ----------
    graphs
        Crystal graphs of defective and pristine structures.
    run
        What is trained, and how.
    folder
        Folder for the checkpoint from which a job that was killed goes on. That of a finished run
        stays there: should the results be lost before they are written, or a second copy of the
        job come late, they are made again from it without training.
    prototypes
        Prototype of each host, for `training.split: prototype`.
    save_every
        Seconds between checkpoints.
    shared
        Data set of runs on the same graphs that are trained one after the other.

    Raises
    ------
    DefectpoolError
        Too few formulas for the folds, one class only, a device that is not there, a loss that is
        not finite.
    Interrupted
        A signal asked to stop, and a checkpoint is saved.
    """
    started = time.monotonic()
    device = devices.choose(run.training.device)
    devices.forget_peak_memory(device)
    graphs = run.objective.labeled(graphs)
    folds = all_folds(graphs, run.training, prototypes)
    keep_memory()
    with torch_threads(run.threads), collected_signals() as stopping:
        dataset = (shared or SharedDataset()).of(device, graphs, run.network)
        job = _Job(graphs, run, folds, dataset, device, folder / CHECKPOINT)
        job.save_every, job.stopping, job.started = save_every, stopping, started
        return job.run_folds()


def all_folds(
    graphs: GraphSet, training: TrainingSettings, prototypes: Mapping[str, str] | None
) -> list[Fold]:
    """Folds of all repeats, in the order in which they are trained."""
    found = []
    for repeat in range(training.repeats):
        seed = seed_of(training.seed, repeat)
        assigned = assign_folds(training.split, graphs, training.folds, seed, prototypes)
        for number in range(training.folds):
            seed = seed_of(training.seed, repeat, number)
            train, *others = assigned.indices(number, training.validation, seed)
            if training.hosts is not None:
                train = of_some_hosts(train, graphs.host, training.hosts, training.seed)
            found.append(Fold(repeat, number, train, *others))
    return found


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fingerprint(graphs: GraphSet, run: Run, folds: list[Fold]) -> str:
    """Digest of settings, code and data, by which a checkpoint knows its run."""
    settings = [
        graphs.settings, run.pooling, run.convolution, run.network.model_dump(),
        run.training.model_dump(exclude=set(run.training.NEUTRAL)), repr(run.objective), run.code,
        [fold.test.tolist() for fold in folds],
    ]  # fmt: skip
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in (
        "distances", "node_offset", "edge_offset", "label", "atomic_number", "node_multiplicity",
        "source", "target", "edge_distance", "edge_multiplicity",
    ):  # fmt: skip
        values = getattr(graphs, name)
        for rows in pieces(len(values)):
            found.update(np.ascontiguousarray(values[rows]).tobytes())
    for name in ("structure", "formula"):
        found.update("\n".join(map(str, getattr(graphs, name))).encode())
    return found.hexdigest()


class _Job:
    """A run on this machine: its folds one after the other, with checkpoints and progress."""

    save_every: float
    stopping: list[int]
    started: float

    def __init__(
        self, graphs: GraphSet, run: Run, folds: list[Fold], dataset: Dataset,
        device: torch.device, path: Path,
    ) -> None:  # fmt: skip
        self.graphs, self.run, self.folds, self.dataset = graphs, run, folds, dataset
        self.device, self.path = device, path
        on_gpu = isinstance(dataset, GPUDataset) and device.type == "cuda"
        self.limits = Limits(cuda_graphs=on_gpu)
        self.key = fingerprint(graphs, run, folds)
        self.saved = time.monotonic()

    def run_folds(self) -> Artifacts:
        """Train all folds, going on from a checkpoint if there is one."""
        saved, notes = checkpoint.load(self.path, self.key)
        self.state = State(**saved) if saved else State()
        self.state.resumed += saved is not None
        self.seconds_before = self.state.seconds
        total = sum(len(fold.train) for fold in self.folds) * self.run.training.epochs
        self.progress = ProgressBar(self.run.title, total, self.state.graphs)
        for note in notes:
            self.progress.say(note)
        finished = len(self.state.finished)
        if saved:
            self._say(f"goes on after {finished} of {len(self.folds)} folds")
        for fold in self.folds[finished:]:
            result = self._train(fold)
            self.state.finished.append(_to_dict(result))
            self.state.current = None
            self._save()
        self.progress.close()
        return self._artifacts()

    def _train(self, fold: Fold) -> FoldResult:
        seed = seed_of(self.run.training.seed, "weights", fold.repeat, fold.number)
        network = initial_network(
            self.run.pooling,
            self.run.convolution,
            self.run.network,
            float(self.graphs.settings["radius"]),
            seed,
            self.run.objective.n_outputs,
        )
        callbacks = Callbacks(self._before_step, self._epoch_done, self._not_finite, self._say)
        return train_fold(
            network.to(self.device),
            self.dataset,
            fold,
            self.run.training,
            self.run.objective,
            self.limits,
            callbacks,
            self.state.current,
        )

    # ------------------------------------------------------------------ callbacks

    def _before_step(self, content: Any) -> None:
        if self.stopping or time.monotonic() - self.saved > self.save_every:
            self.state.current = content()
            self._save()

    def _epoch_done(self, row: dict[str, Any]) -> None:
        training = self.run.training
        fold = self.folds[row["repeat"] * training.folds + row["fold"]]
        self.state.graphs += len(fold.train)
        self.progress.epoch(
            f"repeat {row['repeat'] + 1}/{training.repeats}, fold {row['fold'] + 1}/"
            f"{training.folds}, epoch {row['epoch']}/{training.epochs}",
            len(fold.train),
            row["loss"],
            row["validation_accuracy"],
            last=row["epoch"] == training.epochs,
        )

    def _not_finite(self, batch: Indices, epoch: int) -> None:
        ids = ", ".join(str(self.graphs.structure[index]) for index in batch)
        raise DefectpoolError(
            f"the loss is not finite in epoch {epoch}; lower training.learning_rate, or look at "
            f"the structures of this batch: {ids}"
        )

    def _say(self, text: str) -> None:
        self.progress.say(f"{self.run.title}: {text}")

    # ------------------------------------------------------------------ checkpoint and results

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _save(self) -> None:
        self.state.seconds = self._seconds()
        checkpoint.save(self.path, self.key, vars(self.state))
        self.saved = time.monotonic()
        if self.stopping:
            self._say("stopped by a signal; a checkpoint is saved")
            self.progress.close()
            raise Interrupted(self.path)

    def _artifacts(self) -> Artifacts:
        results = [
            _from_dict(one, fold) for one, fold in zip(self.state.finished, self.folds, strict=True)
        ]
        history = pd.DataFrame([row for one in results for row in one.history])
        seconds = float(history["seconds"].sum())
        record = run_record.record(
            self.started,
            seconds=round(self._seconds(), 3),
            device=devices.describe(self.device),
            threads=self.run.threads,
            precision="float32",
            graphs=len(self.graphs),
            graphs_per_second=round(self.state.graphs / seconds, 1),
            peak_gpu_memory_mib=devices.peak_memory_mib(self.device),
            micro_batches=self.limits.micro_batches,
            cuda_graphs=self.limits.cuda_graphs,
            resumed=self.state.resumed,
        )
        predictions = predictions_of(results, self.graphs, self.run.objective)
        return Artifacts(self._model(results), history, predictions, record)

    def _model(self, results: list[FoldResult]) -> dict[str, Any]:
        return {
            "pooling": self.run.pooling,
            "convolution": self.run.convolution,
            "network": self.run.network.model_dump(),
            "n_outputs": self.run.objective.n_outputs,
            "graph": dict(self.graphs.settings),
            "models": [
                {
                    "repeat": one.fold.repeat,
                    "fold": one.fold.number,
                    "epoch": one.best.epoch,
                    **({"temperature": one.best.temperature} if one.best.temperature else {}),
                    "weights": one.best.weights,
                }
                for one in results
            ],
        }


def _to_dict(result: FoldResult) -> dict[str, Any]:
    """Plain values and tensors of a result, for the checkpoint."""
    return {
        "history": result.history,
        "best": vars(result.best),
        "best_on_test": vars(result.best_on_test),
    }


def _from_dict(saved: dict[str, Any], fold: Fold) -> FoldResult:
    best, best_on_test = (BestEpoch(**saved[name]) for name in ("best", "best_on_test"))
    return FoldResult(fold, saved["history"], best, best_on_test)
