"""Training steps and evaluation of a network on a device, with what to do when memory runs out.

On a GPU steps are captured as CUDA graphs (`cuda_graphs`); where that fails, they are taken
operation by operation, and the log says why. Out of memory, a batch is computed in micro-batches
whose gradients are added up: the effective batch stays, but batch normalization then sees the
micro-batches, so results may differ slightly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from defectpool.batching.batch import Batch
from defectpool.batching.dataset import Dataset
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.training.cuda_graphs import CapturedSteps, CaptureError
from defectpool.training.objective import Objective
from defectpool.training.step import (
    EVALUATION_BATCH,
    Indices,
    evaluation_batches,
    keep_statistics,
    logits_of,
    train_step,
)

NOT_ONE_GRAPH = (
    "the GPU's memory does not hold a single graph of this data set; take a GPU with more, "
    "training.device: cpu, or a smaller supercell"
)


@dataclass
class Limits:
    """What the device has turned out to hold, for all folds of a training.

    Attributes
    ----------
    micro_batches
        Parts in which a batch is computed.
    evaluated_together
        Graphs in a batch that is evaluated.
    cuda_graphs
        Whether steps are captured.
    """

    micro_batches: int = 1
    evaluated_together: int = EVALUATION_BATCH
    cuda_graphs: bool = False


class Stepper:
    """Steps of one network, whatever the memory of the device.

    Parameters
    ----------
    network, optimizer
        What is trained.
    dataset
        The graphs.
    objective
        What is learned.
    limits
        What the device holds; changed where that turns out to be less.
    say
        Told what is done instead when memory runs out.
    """

    def __init__(
        self,
        network: CrystalGraphNetwork,
        optimizer: torch.optim.Optimizer,
        dataset: Dataset,
        objective: Objective,
        limits: Limits,
        say: Callable[[str], None] = print,
    ) -> None:
        self.network, self.optimizer, self.dataset = network, optimizer, dataset
        self.objective, self.limits, self.say = objective, limits, say
        self.on_cpu = dataset.device.type == "cpu"
        self.captured: CapturedSteps | None = None
        if limits.cuda_graphs and isinstance(dataset, GPUDataset):
            self.captured = CapturedSteps(network, dataset, objective)
        self._watched: list[Batch] = []

    def step(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Take one step on some graphs.

        Returns
        -------
        tuple of Tensor
            Mean loss, and number of graphs that were predicted correctly before the step, both on
            the device.

        Raises
        ------
        DefectpoolError
            The device does not hold a single graph.
        """
        if self.on_cpu:
            return self._plain_step(indices)
        return self._captured_step(indices) or self._step_in_memory(indices)

    def evaluate(self, indices: Indices) -> Tensor:
        """Logits of the same graphs after each epoch; their batches are kept for the next time.

        Those of graphs on disk are cut again, since they need not fit into memory.
        """
        while True:
            together = self.limits.evaluated_together
            try:
                if self.dataset.on_disk:
                    return logits_of(
                        self.network, evaluation_batches(self.dataset, indices, together)
                    )
                self._watched = self._watched or list(
                    evaluation_batches(self.dataset, indices, together)
                )
                return logits_of(self.network, self._watched)
            except torch.OutOfMemoryError:
                if self.limits.evaluated_together == 1:
                    raise DefectpoolError(NOT_ONE_GRAPH) from None
            self._watched, self.limits.evaluated_together = [], self.limits.evaluated_together // 2
            self._out_of_memory(f"{self.limits.evaluated_together} graphs are evaluated at a time")

    def _plain_step(self, indices: Indices) -> tuple[Tensor, Tensor]:
        return train_step(
            self.network, self.optimizer, self.dataset, indices, self.objective,
            self.limits.micro_batches,
        )  # fmt: skip

    def _captured_step(self, indices: Indices) -> tuple[Tensor, Tensor] | None:
        """Replay a captured step; None where steps are not captured."""
        if self.captured is None:
            return None
        try:
            found = self.captured(indices)
        except (CaptureError, torch.OutOfMemoryError) as error:
            reason = str(error).partition("\n")[0]
        else:
            self.optimizer.step()
            return found
        self.captured, self.limits.cuda_graphs = None, False
        torch.cuda.empty_cache()
        self.say(f"steps are not captured: {reason}")
        return None

    def _step_in_memory(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Take one step; out of memory it is repeated in twice as many micro-batches."""
        restore = keep_statistics(self.network)
        while True:
            try:
                return self._plain_step(indices)
            except torch.OutOfMemoryError:
                if self.limits.micro_batches >= len(indices):
                    raise DefectpoolError(NOT_ONE_GRAPH) from None
            # outside the handler, so that the failed step's tensors are free
            self.limits.micro_batches = min(2 * self.limits.micro_batches, len(indices))
            restore()
            self._out_of_memory(
                f"batches are computed in {self.limits.micro_batches} micro-batches"
            )

    def _out_of_memory(self, instead: str) -> None:
        torch.cuda.empty_cache()
        self.say(f"out of GPU memory; {instead}")
