"""CUDA graphs of training steps, captured once and replayed.

A step is hundreds of small operations, and a GPU finishes each before the CPU has asked for the
next. A CUDA graph asks for all of them at once. It computes on the very tensors that it was
captured with, so batches have to be of one size: they are padded (`batching.gpu_dataset`). The
optimizer, whose settings change from step to step, stays outside.

No captured step is used before it was compared with the plain one, on the same batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.training.objective import Objective
from defectpool.training.step import add_gradients, keep_statistics

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
    objective
        What is learned.
    """

    def __init__(
        self, network: CrystalGraphNetwork, dataset: GPUDataset, objective: Objective
    ) -> None:
        self.network, self.dataset, self.objective = network, dataset, objective
        self._steps: dict[int, _Captured] = {}

    def __call__(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch, as `step.train_step` does before the optimizer.

        Returns
        -------
        tuple of Tensor
            Mean loss, and number of graphs that were predicted correctly, both on the device.

        Raises
        ------
        CaptureError
            The step is not to be captured. Network and statistics are as before.
        torch.OutOfMemoryError
            The GPU does not hold a padded batch.
        """
        if len(indices) not in self._steps:
            self._steps[len(indices)] = self._capture(indices)
        return self._steps[len(indices)].replay(self.dataset.send(indices))

    def _capture(self, indices: NDArray[np.int64]) -> _Captured:
        network = self.network.train()
        restore = keep_statistics(network)
        try:
            # of other graphs, so that whatever does not follow the graphs is found below
            captured = _Captured(
                network, self.dataset, self.objective, (indices + 1) % len(self.dataset)
            )
            restore()
            replayed = captured.replay(self.dataset.send(indices))
            found = [
                *replayed,
                *_gradients(network),
                *(buffer.clone() for buffer in network.buffers()),
            ]
            restore()
            plain = add_gradients(
                network, self.dataset.batch(indices), len(indices), self.objective
            )
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
        self,
        network: CrystalGraphNetwork,
        dataset: GPUDataset,
        objective: Objective,
        indices: NDArray[np.int64],
    ) -> None:
        self.network = network
        self.index = dataset.send(indices)
        size, sizes = len(indices), dataset.padded_sizes(len(indices))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # what is set up at a first call must not be captured
            for _ in range(WARM_UP):
                add_gradients(network, dataset.padded(self.index, sizes), size, objective)
        torch.cuda.current_stream().wait_stream(side)
        network.zero_grad(set_to_none=True)  # so that gradients are made, not added to
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            batch = dataset.padded(self.index, sizes)
            self.loss, self.n_correct = add_gradients(network, batch, size, objective)
        self.gradients = _gradients(network)

    def replay(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Take the gradients of other graphs; return loss and number of correct ones."""
        self.index.copy_(index)
        self.graph.replay()
        for parameter, gradient in zip(self.network.parameters(), self.gradients, strict=True):
            parameter.grad = gradient
        return self.loss.clone(), self.n_correct.clone()


def _gradients(network: CrystalGraphNetwork) -> list[Tensor]:
    return [p.grad for p in network.parameters() if p.grad is not None]
