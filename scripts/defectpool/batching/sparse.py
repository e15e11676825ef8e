"""Sparse matrices by rows, and their products with dense ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
