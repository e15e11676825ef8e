"""Sparse matrices by rows, and their products with dense ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseRows:
    """Sparse matrix by rows: `rows @ dense` is a weighted sum of rows of `dense` for each row.

    Attributes
    ----------
    index
        Columns, one row after the other, [entries].
    offset
        Where each row begins, and the end, [rows + 1].
    weight
        Values, [entries], or None for ones.
    """

    index: Tensor
    offset: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.offset) - 1

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Sum rows of `dense`, [columns, features] to [rows, features].

        The embedding bag is torch's fastest such sum on a CPU and needs no atomic additions on a
        GPU: each row is summed by one worker in the order of its entries.
        """
        return torch.embedding_bag(
            dense, self.index, self.offset, False, 0, False, self.weight, True
        )[0]

    def transposed(self, columns: int) -> SparseRows:
        """Transpose; entries of a column keep the order of the rows."""
        if self.index.device.type == "cpu":
            return self._counting_sort(columns)
        rows = torch.repeat_interleave(
            counted(len(self), self.index.device),
            self.offset.diff(),
            output_size=len(self.index),
        )
        ascending, order = torch.sort(self.index, stable=True)
        weight = None if self.weight is None else self.weight.index_select(0, order)
        return SparseRows(rows.index_select(0, order), offsets(ascending, columns), weight)

    def _counting_sort(self, columns: int) -> SparseRows:
        """Transpose on a CPU, in a time linear in the number of entries."""
        sort = _compiled_sort()
        if sort is None:
            return self._sorted_by_scipy(columns)
        rows, offset = torch.empty_like(self.index), self.index.new_zeros(columns + 1)
        weight = None if self.weight is None else torch.empty_like(self.weight)
        values = [one.numpy() for one in (self.weight, weight) if one is not None]
        arrays = [one.numpy() for one in (self.index, self.offset, offset, rows)]
        sort(*arrays, *(values or [_NOTHING] * 2))
        return SparseRows(rows, offset, weight)

    def _sorted_by_scipy(self, columns: int) -> SparseRows:
        from scipy.sparse import csr_array

        weight = torch.ones(len(self.index)) if self.weight is None else self.weight
        matrix = csr_array(
            (weight.numpy(), self.index.numpy(), self.offset.numpy()), shape=(len(self), columns)
        ).tocsc()
        return SparseRows(
            torch.from_numpy(matrix.indices),
            torch.from_numpy(matrix.indptr),
            None if self.weight is None else torch.from_numpy(matrix.data),
        )


_NOTHING = np.empty(0, np.float32)


@cache
def _compiled_sort() -> Callable[..., None] | None:
    """Return the compiled transposition, or None without numba."""
    try:
        from defectpool.batching.pair_kernels import transpose
    except ImportError:
        return None
    return cast("Callable[..., None]", transpose)


class SparseSum(torch.autograd.Function):
    """`rows @ dense` with a gradient, the transpose being known beforehand."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, rows: SparseRows, transposed: SparseRows) -> Tensor:
        """Return `rows @ dense`."""
        ctx.transposed = transposed
        return rows @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return `transposed @ gradient`."""
        return ctx.transposed @ gradients[0].contiguous(), None, None


def counted(count: int, device: torch.device) -> Tensor:
    """Return 0, 1, ... count - 1, as integers of the size that torch's sums read fastest."""
    return torch.arange(count, dtype=torch.int32, device=device)


def offsets(ascending: Tensor, count: int) -> Tensor:
    """Where the runs of 0, 1, ... count - 1 begin in ascending numbers, and the end."""
    return torch.searchsorted(ascending, counted(count + 1, ascending.device), out_int32=True)
