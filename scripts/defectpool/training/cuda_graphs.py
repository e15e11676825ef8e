"""Training steps of a GPU, captured once and replayed.

A step is hundreds of small operations, and a GPU is done with each sooner than the CPU has asked
for the next. A CUDA graph asks for all of them at once. It computes on the very tensors that it was
captured with, so batches have to be of one size: they are padded (`resident`). The optimizer, whose
settings change from step to step, stays outside.

No captured step is used before it was compared with the plain one, on the same batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.gpu_dataset import Resident
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.training.stepper import add_gradients, keep_statistics

# Largest difference, relative to the largest number: rounding is 1e-4 at most (float32).
TOLERANCE = 1e-2

WARM_UP = 2


class CaptureError(RuntimeError):
    """A step cannot be captured here, or does not give what the plain one does."""


class CapturedSteps:
    """The steps of one network, one CUDA graph for each size of a batch.

    Parameters
    ----------
    network
        The network, on a GPU.
    dataset
        Its graphs, on the same one.
    """

    def __init__(self, network: CrystalGraphNetwork, dataset: Resident) -> None:
        self.network, self.dataset = network, dataset
        self._steps: dict[int, _Captured] = {}

    def __call__(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch, as `step.train_step` does before the optimizer.

        Returns
        -------
        tuple of Tensor
            Mean loss, and number of graphs that were right, both on the device.

        Raises
        ------
        CaptureError
            The step is not to be captured. Network and statistics are as before.
        torch.OutOfMemoryError
            The GPU does not hold a padded batch.
        """
        if len(rows) not in self._steps:
            self._steps[len(rows)] = self._capture(rows)
        return self._steps[len(rows)].replay(self.dataset.send(rows))

    def _capture(self, rows: NDArray[np.int64]) -> _Captured:
        network = self.network.train()
        restore = keep_statistics(network)
        try:
            # of other graphs, so that whatever does not follow the graphs is found below
            captured = _Captured(network, self.dataset, (rows + 1) % len(self.dataset))
            restore()
            replayed = captured.replay(self.dataset.send(rows))
            found = [
                *replayed,
                *_gradients(network),
                *(buffer.clone() for buffer in network.buffers()),
            ]
            restore()
            plain = add_gradients(network, self.dataset.batch(rows), len(rows))
            wanted = [*plain, *_gradients(network), *network.buffers()]
            for one, two in zip(found, wanted, strict=True):
                largest = float(two.abs().max())
                if not float((one - two).abs().max()) <= TOLERANCE * max(largest, TOLERANCE):
                    raise CaptureError("a captured step differs from a plain one")
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise CaptureError(str(error).partition("\n")[0]) from error
        finally:
            restore()
        return captured


class _Captured:
    """One CUDA graph, the tensors that it reads, and those that it leaves."""

    def __init__(
        self, network: CrystalGraphNetwork, dataset: Resident, rows: NDArray[np.int64]
    ) -> None:
        self.network = network
        self.index = dataset.send(rows)
        size, capacities = len(rows), dataset.capacities(len(rows))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # what is set up at a first call must not be captured
            for _ in range(WARM_UP):
                add_gradients(network, dataset.padded(self.index, capacities), size)
        torch.cuda.current_stream().wait_stream(side)
        network.zero_grad(set_to_none=True)  # so that gradients are made, not added to
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            batch = dataset.padded(self.index, capacities)
            self.loss, self.right = add_gradients(network, batch, size)
        self.gradients = _gradients(network)

    def replay(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Take the gradients of other graphs; return loss and number of those that were right."""
        self.index.copy_(index)
        self.graph.replay()
        for parameter, gradient in zip(self.network.parameters(), self.gradients, strict=True):
            parameter.grad = gradient
        return self.loss.clone(), self.right.clone()


def _gradients(network: CrystalGraphNetwork) -> list[Tensor]:
    return [p.grad for p in network.parameters() if p.grad is not None]
