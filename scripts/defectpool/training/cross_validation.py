"""Train and test one entry of the table: all folds, all repeats, with predictions for every host.

Everything that is drawn (folds, weights, order of batches) comes from hashes of the seed, the
repeat, the fold and the epoch, and nothing from the pooling or the convolution: all poolings see
the same hosts in the same batches and start from the same weights. So there is no state of a
random generator to save, and a training that goes on from a saved state is the same, bit for bit
on a CPU with the same number of threads, as one that never stopped.

On a GPU all graphs lie there (`resident`) and steps are captured (`captured`); where they cannot
be, they are taken operation by operation, and the log says why. Out of memory, a batch is computed
in parts whose gradients are added up: the effective batch stays, but batch normalization then sees
the parts, so figures may differ slightly.
"""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch
from defectpool.batching.gpu_dataset import Resident, dataset_on
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork, initial_network
from defectpool.runtime import run_record
from defectpool.runtime.hashing import seed as seed_of
from defectpool.runtime.memory import keep_memory
from defectpool.training import checkpoint
from defectpool.training import device as devices
from defectpool.training.artifacts import FORMAT, Outcome
from defectpool.training.cuda_graphs import CapturedSteps, CaptureError
from defectpool.training.optimization import (
    batches_of,
    in_order,
    optimizer_of,
    steps_of,
    tested,
    validation_score,
)
from defectpool.training.progress import Progress
from defectpool.training.splits import assign_folds
from defectpool.training.stepper import (
    EVALUATION_BATCH,
    evaluation_batches,
    keep_statistics,
    logits_of,
    train_step,
)

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet

NOT_ONE_GRAPH = (
    "the GPU's memory does not hold a single graph of this data set; take a GPU with more, "
    "training.device: cpu, or a smaller supercell"
)


class Interrupted(SystemExit):
    """SIGTERM, SIGUSR1 or SIGHUP came; the state is saved. Exit status 75: "try again later"."""

    def __init__(self, path: Path) -> None:
        super().__init__(75)
        self.path = path

    def __str__(self) -> str:
        return f"interrupted; the state is saved in {self.path}"


def cross_validate(
    graphs: GraphSet,
    pooling: str,
    convolution: str,
    network: NetworkSettings,
    training: TrainingSettings,
    state: Path,
    *,
    title: str = "training",
    code: str = "",
    threads: int = 1,
    save_every: float = 30.0,
    prototypes: Mapping[str, str] | None = None,
) -> Outcome:
    """Train and test on all folds.

    Parameters
    ----------
    graphs
        Crystal graphs of defective and pristine structures.
    pooling, convolution, network, training
        What is trained, and how.
    state
        Folder for the state from which a job that was killed goes on; a finished one stays there.
    title
        What progress is reported under.
    code
        Digest of the code: a state of other code is not used.
    threads
        Threads of torch. Sums are split among threads, so only the same number gives the same
        bits; one thread an entry and several entries at once is also what is fastest.
    save_every
        Seconds between saved states.
    prototypes
        Prototype of each host, for `training.split: prototype`.

    Raises
    ------
    DefectpoolError
        Too few formulas for the folds, one class only, a device that is not there, a loss that is
        not finite.
    Interrupted
        A signal asked to stop, and the state is saved.
    """
    device = devices.choose(training.device)
    labels = np.asarray(graphs.label)
    if len(np.unique(labels)) < 2:
        raise DefectpoolError(
            f"there are {len(labels)} graphs to train on, and not both defective and pristine "
            "ones; see the lists of skipped and rejected structures"
        )
    keep_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _signals() as stopping:
            job = _Job(
                graphs, pooling, convolution, network, training, device, state, code, title,
                prototypes,
            )  # fmt: skip
            job.save_every, job.stopping, job.threads = save_every, stopping, threads
            return job.run()
    finally:
        torch.set_num_threads(before)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGUSR1 and SIGHUP (a closed terminal) instead of dying of them."""
    came: list[int] = []
    wanted = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    try:
        before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in wanted}
    except ValueError:  # not in the main thread, where signals do not arrive anyway
        before = {}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fingerprint(graphs: GraphSet, *settings: Any) -> str:
    """Digest of settings and data, by which a state knows its training."""
    found = hashlib.sha256(json.dumps([graphs.settings, *settings], sort_keys=True).encode())
    for name in (
        "distances", "node_offset", "edge_offset", "label", "atomic_number", "node_multiplicity",
        "source", "target", "edge_distance", "edge_multiplicity",
    ):  # fmt: skip
        found.update(np.ascontiguousarray(getattr(graphs, name)).tobytes())
    for name in ("structure", "formula"):
        found.update("\n".join(map(str, getattr(graphs, name))).encode())
    return found.hexdigest()


class _Job:
    """One entry of the table."""

    save_every: float
    stopping: list[int]
    threads: int

    def __init__(
        self, graphs: GraphSet, pooling: str, convolution: str, network: NetworkSettings,
        training: TrainingSettings, device: torch.device, state: Path, code: str, title: str,
        prototypes: Mapping[str, str] | None,
    ) -> None:  # fmt: skip
        self.started = time.monotonic()
        self.graphs, self.pooling, self.convolution = graphs, pooling, convolution
        self.network, self.training, self.device, self.title = network, training, device, title
        self.deals = [
            assign_folds(
                training.split, graphs, training.folds, seed_of(training.seed, repeat), prototypes
            )
            for repeat in range(training.repeats)
        ]
        self.dataset = dataset_on(device, graphs, network.convolutions, network.gaussians)
        self.radius = float(graphs.settings["radius"])
        self.path = state / "training.state"
        chosen = training.model_dump(exclude={"device"})
        self.key = _fingerprint(
            graphs, pooling, convolution, network.model_dump(), chosen, code,
            [one.fold.tolist() for one in self.deals],
        )  # fmt: skip
        self.saved = time.monotonic()
        self.parts, self.together = 1, EVALUATION_BATCH
        self.capturing = device.type == "cuda" and isinstance(self.dataset, Resident)
        self.captured: CapturedSteps | None = None

    def run(self) -> Outcome:
        """All repeats and folds, going on from a saved state if there is one."""
        content, notes = checkpoint.load(self.path, self.key)
        self.done: dict[str, Any] = content or {
            "finished": [], "current": None, "seconds": 0.0, "graphs": 0, "resumed": 0,
        }  # fmt: skip
        self.done["resumed"] += content is not None
        self.before = self.done["seconds"]
        tasks = [(r, f) for r in range(self.training.repeats) for f in range(self.training.folds)]
        self.progress = Progress(
            self.title,
            sum(int(self._rows(*task)[0].size) for task in tasks) * self.training.epochs,
            self.done["graphs"],
        )
        for note in notes:
            self.progress.say(note)
        if content is not None:
            self.progress.say(
                f"{self.title}: goes on after {len(self.done['finished'])} of {len(tasks)} folds"
            )
        for task in tasks[len(self.done["finished"]) :]:
            result = self._fold(*task)
            self.done["finished"].append(result)
            self.done["current"] = None
            self._save()
        self.progress.close()
        # The finished state stays: should the results be lost before they are written, or should a
        # second copy of this job come late, they are made again from it without training.
        return self._outcome()

    # ------------------------------------------------------------------ one fold

    def _rows(self, repeat: int, fold: int) -> tuple[NDArray[np.int64], ...]:
        """Training, validation and test rows."""
        return self.deals[repeat].rows(
            fold, self.training.validation, seed_of(self.training.seed, repeat, fold)
        )

    def _fold(self, repeat: int, fold: int) -> dict[str, Any]:
        training = self.training
        train, validation, test = self._rows(repeat, fold)
        watched = np.concatenate([validation, test])
        watched_labels = np.asarray(self.graphs.label)[watched] > 0
        watched_batches: list[Batch] = []
        network = initial_network(
            self.pooling,
            self.convolution,
            self.network,
            self.radius,
            seed_of(training.seed, "weights", repeat, fold),
        ).to(self.device)
        if self.capturing and isinstance(self.dataset, Resident):
            self.captured = CapturedSteps(network, self.dataset)
        optimizer, schedule = optimizer_of(network, training, steps_of(train, training))
        now: dict[str, Any] = self.done["current"]
        if now is None:
            now = {"epoch": 0, "losses": [], "right": [], "history": [], "seconds": 0.0,
                   "best": None, "best_on_test": None}  # fmt: skip
        else:
            network.load_state_dict(now["network"])
            optimizer.load_state_dict(now["optimizer"])
            schedule.load_state_dict(now["schedule"])
        losses: list[Tensor] = [torch.tensor(x, device=self.device) for x in now["losses"]]
        right: list[Tensor] = [torch.tensor(x, device=self.device) for x in now["right"]]

        def snapshot() -> dict[str, Any]:
            return now | {
                "losses": [float(x) for x in losses],
                "right": [int(x) for x in right],
                "seconds": now["seconds"] + time.monotonic() - begin,
                "network": _on_cpu(network.state_dict()),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
            }

        for epoch in range(now["epoch"], training.epochs):
            begin = time.monotonic()
            batches = batches_of(train, training, repeat, fold, epoch)
            for rows in batches[len(losses) :]:
                if self.stopping or time.monotonic() - self.saved > self.save_every:
                    self._save(snapshot())
                loss, correct = self._step(network, optimizer, rows)
                schedule.step()
                losses.append(loss)
                right.append(correct)
            values = torch.stack(losses).tolist()
            for rows, value in zip(batches, values, strict=True):
                if not np.isfinite(value):
                    self._not_finite(rows, repeat, fold, epoch)
            logits, watched_batches = self._evaluate(network, watched, watched_batches)
            hits = (logits > 0).cpu().numpy() == watched_labels
            now["seconds"] += time.monotonic() - begin
            row = {
                "repeat": repeat,
                "fold": fold,
                "epoch": epoch + 1,
                "loss": float(np.average(values, weights=[len(rows) for rows in batches])),
                "train_accuracy": int(torch.stack(right).sum()) / len(train),
                "validation_accuracy": float(hits[: len(validation)].mean()),
                "test_accuracy": float(hits[len(validation) :].mean()),
                "seconds": round(now["seconds"], 4),
            }
            now["history"].append(row)
            probability = logits[len(validation) :].double().sigmoid().cpu()
            best = now["best"]
            score = validation_score(
                [past["validation_accuracy"] for past in now["history"]], training
            )
            if score is not None and (best is None or score >= best["accuracy"]):
                now["best"] = {
                    "accuracy": score,
                    "epoch": epoch + 1,
                    "probability": probability,
                    "weights": _on_cpu(network.state_dict()),
                }
            best = now["best_on_test"]
            if best is None or row["test_accuracy"] >= best["accuracy"]:
                now["best_on_test"] = {
                    "accuracy": row["test_accuracy"], "probability": probability,
                }  # fmt: skip
            losses, right = [], []
            now |= {"epoch": epoch + 1, "seconds": 0.0}
            self.done["graphs"] += len(train)
            self.progress.epoch(
                f"repeat {repeat + 1}/{training.repeats}, fold {fold + 1}/{training.folds}, "
                f"epoch {epoch + 1}/{training.epochs}",
                len(train),
                row["loss"],
                row["validation_accuracy"],
                last=epoch + 1 == training.epochs,
            )
        return {
            "repeat": repeat,
            "fold": fold,
            "epoch": now["best"]["epoch"],
            "weights": now["best"]["weights"],
            "history": now["history"],
            "test": torch.from_numpy(test),
            "probability": now["best"]["probability"],
            "probability_best_epoch": now["best_on_test"]["probability"],
        }

    def _step(
        self, network: CrystalGraphNetwork, optimizer: torch.optim.Optimizer, rows: NDArray[Any]
    ) -> tuple[Tensor, Tensor]:
        """One step; out of GPU memory it is repeated in twice as many parts."""
        if self.device.type == "cpu":
            return train_step(network, optimizer, self.dataset, rows, self.parts)
        if self.captured is not None:
            try:
                found = self.captured(rows)
            except (CaptureError, torch.OutOfMemoryError) as error:
                reason = str(error).partition("\n")[0]
            else:
                optimizer.step()
                return found
            self.captured, self.capturing = None, False
            torch.cuda.empty_cache()
            self.progress.say(f"{self.title}: steps are not captured: {reason}")
        restore = keep_statistics(network)
        while True:
            try:
                return train_step(network, optimizer, self.dataset, rows, self.parts)
            except torch.OutOfMemoryError:
                if self.parts >= len(rows):
                    raise DefectpoolError(NOT_ONE_GRAPH) from None
            # outside the handler, so that the failed step's tensors are free
            self.parts = min(2 * self.parts, len(rows))
            restore()
            self._out_of_memory(f"batches are computed in {self.parts} parts")

    def _evaluate(
        self, network: CrystalGraphNetwork, rows: NDArray[Any], batches: list[Batch]
    ) -> tuple[Tensor, list[Batch]]:
        """Logits, and the batches for the next time; out of GPU memory these become smaller."""
        while True:
            try:
                batches = batches or evaluation_batches(self.dataset, rows, self.together)
                return logits_of(network, batches), batches
            except torch.OutOfMemoryError:
                if self.together == 1:
                    raise DefectpoolError(NOT_ONE_GRAPH) from None
            batches, self.together = [], self.together // 2
            self._out_of_memory(f"{self.together} graphs are evaluated at a time")

    def _out_of_memory(self, instead: str) -> None:
        torch.cuda.empty_cache()
        self.progress.say(f"{self.title}: out of GPU memory; {instead}")

    def _not_finite(self, rows: NDArray[Any], repeat: int, fold: int, epoch: int) -> None:
        ids = ", ".join(str(self.graphs.structure[row]) for row in rows)
        raise DefectpoolError(
            f"the loss is not finite in repeat {repeat}, fold {fold}, epoch {epoch + 1}; lower "
            f"training.learning_rate, or look at the structures of this batch: {ids}"
        )

    # ------------------------------------------------------------------ state and results

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _save(self, current: dict[str, Any] | None = None) -> None:
        self.done["seconds"] = self._seconds()
        checkpoint.save(self.path, self.key, self.done | {"current": current})
        self.saved = time.monotonic()
        if self.stopping:
            self.progress.say(f"{self.title}: stopped by a signal; the state is saved")
            self.progress.close()
            raise Interrupted(self.path)

    def _outcome(self) -> Outcome:
        finished = self.done["finished"]
        predictions = in_order(
            [
                tested(
                    self.graphs,
                    rows := one["test"].numpy(),
                    repeat=one["repeat"],
                    fold=one["fold"],
                    label=np.asarray(self.graphs.label)[rows].astype(int),
                    probability=one["probability"].numpy(),
                    probability_best_epoch=one["probability_best_epoch"].numpy(),
                )
                for one in finished
            ]
        )
        model = {
            "format": FORMAT,
            "pooling": self.pooling,
            "convolution": self.convolution,
            "network": self.network.model_dump(),
            "graph": dict(self.graphs.settings),
            "models": [
                {key: one[key] for key in ("repeat", "fold", "epoch", "weights")}
                for one in finished
            ],
        }
        seconds = self._seconds()
        history = pd.DataFrame([row for one in finished for row in one["history"]])
        return Outcome(
            model,
            history,
            predictions,
            run_record.record(
                self.started,
                seconds=round(seconds, 3),
                device=devices.describe(self.device),
                threads=self.threads,
                precision="float32",
                graphs=len(self.graphs.label),
                graphs_per_second=round(self.done["graphs"] / float(history["seconds"].sum()), 1),
                peak_gpu_memory_mib=devices.peak_memory_mib(self.device),
                batch_parts=self.parts,
                captured_steps=self.capturing,
                resumed=self.done["resumed"],
            ),
        )


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
