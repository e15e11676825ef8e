"""Limits of the machine, and what a training step asks of it: bytes moved and arithmetic.

torch's operations are counted as they run. Compiled sums over neighbors (`message_kernels`) are
not operations of torch; what they move and compute is counted from their source (`compiled_work`).

Imported by `training_step.py`.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

REPEATS = 5
NUMBER = 4  # bytes of a float32 or of an index

# Floating-point operations of `message_kernels` and `elementary`; a multiply-add is two, a division
# one. Comparisons and integers are not counted.
EXP2 = 1 + 2 + 1 + 4 + 8  # whole part, remainder, square, higher and lower polynomial
LOG2_1P = 2 + 6 + 8 + 3  # powers, lower and higher polynomial, their sum
GATE = 2 * EXP2 + (LOG2_1P + 1) + 1 + 3  # exponentials, softplus, sigmoid, weighted sum
# exponentials, sigmoid, slope, softplus, what is received, both gradients
GATE_GRADIENT = 2 * EXP2 + 5 + 2 + (LOG2_1P + 2) + 2 + 4


@dataclass(frozen=True)
class Work:
    """What a step asks for: bytes read and written, and floating-point operations."""

    bytes: float = 0.0
    operations: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.bytes + other.bytes, self.operations + other.operations)

    def __truediv__(self, parts: float) -> "Work":
        return Work(self.bytes / parts, self.operations / parts)


def operations(kernel: str, width: int, nearest: int) -> int:
    """Floating-point operations that a kernel spends on a pair of neighbors: two messages."""
    messages = 2 * width * (2 * nearest + 8)
    spread = 2 * width * (5 + 2 * nearest)
    of_pair = {
        "neighbor_sums": 2 * 8 * width,
        "gate": messages + 2 * width * GATE,
        "gate_gradient": messages + 2 * width * GATE_GRADIENT + spread,
    }
    return of_pair.get(kernel, 0)


def compiled_work(kernels: Iterable[str], pairs: int, sites: int, width: int, nearest: int) -> Work:
    """Work of kernels that pass over pairs and sites, each array moved once in a pass.

    A site has two rows of 2 F numbers in the table and in its gradient; sums are read and written.
    A pair is read as its other site, distance, two weights, first Gaussian and the values of the
    nearest ones.
    """
    table, of_pair = 4 * width, 5 + nearest
    numbers = {  # of a site and of a pair
        "neighbor_sums": (4 * table, 3),
        "gate": (table + 2 * width, of_pair),
        "update": (3 * width, 0),
        "update_gradient": (4 * width, 0),
        "norm_gradient": (3 * width, 0),
        "gate_gradient": (4 * table + width, of_pair),
        "table_gradient": (3 * table, 0),
    }
    total = Work()
    for kernel in kernels:
        of_site, of_each = numbers[kernel]
        moved = NUMBER * (sites * of_site + pairs * of_each)
        total += Work(moved, pairs * operations(kernel, width, nearest))
    return total


class Counter(TorchDispatchMode):
    """Adds up what torch's operations move, and the arithmetic of its matrix products.

    Compiled kernels that are called inside of an operation are not seen.
    """

    NOTHING = ("empty", "new_empty", "empty_like", "empty_strided")
    # operations that read some rows of a table, and where their arguments have the numbers of these
    GATHER = MappingProxyType({"index_select": 2, "embedding_bag": 1})

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and count its inputs, outputs and products."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.name().split("::")[1].split(".")[0]
        if not func.is_view and name not in self.NOTHING:
            self.work += Work(self._moved(name, args, kwargs, result))
        if (count := flop_registry.get(func.overloadpacket)) is not None:
            self.work += Work(0, count(*args, **kwargs, out_val=result))
        return result

    def _moved(self, name: str, args: tuple, kwargs: dict, result: object) -> int:
        read, written = (
            [one for one in tree_leaves(tree) if isinstance(one, Tensor)]
            for tree in ((args, kwargs), result)
        )
        moved = sum(held(one) for one in (*read, *written))
        for gather, index in self.GATHER.items():
            if gather in name and "backward" not in name:
                table, rows = args[0], args[index].numel()
                moved += rows * table[:1].nbytes - held(table)
        return moved


def held(tensor: Tensor) -> int:
    """Bytes of a tensor's distinct numbers: a dimension that repeats one number counts once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.itemsize * math.prod(size for size, stride in sizes if stride)


def clock(device: torch.device, threads: int) -> float:
    """Return seconds, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.process_time() if device.type == "cpu" and threads == 1 else time.perf_counter()


@dataclass(frozen=True)
class Limits:
    """What the machine does in a second at best.

    Attributes
    ----------
    bandwidth
        Bytes a second, read and written, in a large copy.
    peak
        Floating-point operations a second in a large float32 matrix product.
    """

    bandwidth: float
    peak: float

    def ms_to_move(self, work: Work) -> float:
        """Milliseconds that the bytes take at the limit."""
        return 1e3 * work.bytes / self.bandwidth

    def ms_to_compute(self, work: Work) -> float:
        """Milliseconds that the arithmetic takes at the limit."""
        return 1e3 * work.operations / self.peak

    def ms(self, work: Work) -> float:
        """Milliseconds that the work takes at the least: a machine moves and computes at once."""
        return max(self.ms_to_move(work), self.ms_to_compute(work))


def limits(device: torch.device, threads: int) -> Limits:
    """Measure the limits of a device with so many threads."""
    torch.set_num_threads(threads)
    source = torch.zeros(64 * 1024**2, device=device)
    target = torch.empty_like(source)
    n = 8192 if device.type == "cuda" else 2048
    matrix = torch.ones(n, n, device=device)
    product = torch.empty_like(matrix)
    copied = _shortest(lambda: target.copy_(source), device, threads)
    multiplied = _shortest(lambda: torch.mm(matrix, matrix, out=product), device, threads)
    return Limits(2 * source.nbytes / copied, 2 * n**3 / multiplied)


def _shortest(task: Callable[[], object], device: torch.device, threads: int) -> float:
    best = np.inf
    for _ in range(REPEATS):
        begin = clock(device, threads)
        task()
        best = min(best, clock(device, threads) - begin)
    return float(best)
