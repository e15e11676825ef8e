"""Gated convolutions by compiled sums over neighbors (`network.message_kernels`), with gradients.

The table that messages are sums of has rows 2 i and 2 i + 1 for what site i projects to as a
target and as a source, then the projected Gaussians between rows of zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from defectpool.batching.neighbor_lists import NeighborLists


@cache
def kernel_maker() -> Callable[[int], SimpleNamespace] | None:
    """Maker of the compiled loops, or None without numba, which is imported at the first call.

    numba has no release for every Python; the sparse sums give the same.
    """
    try:
        from defectpool.network.message_kernels import kernels
    except ImportError:
        return None
    return kernels


class Table:
    """Rows that messages are sums of, and how to project to them and back.

    Parameters
    ----------
    neighbors
        The batch.
    width
        Features of a site, F.
    """

    def __init__(self, neighbors: NeighborLists, width: int) -> None:
        self.n, self.width, self.both = len(neighbors), width, 2 * width
        distances = neighbors.distances
        self.gaussians = slice(
            2 * self.n + distances.padding, 2 * self.n + distances.padding + distances.gaussians
        )
        self.rows = 2 * self.n + distances.rows

    def project(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Table of sites [n, F] and the weights [2 F, 2 F + K], [rows, 2 F]."""
        table = x.new_empty(self.rows, self.both)
        table[2 * self.n :] = 0
        both = self._of_sites(weight)
        torch.mm(x, both.T, out=table[: 2 * self.n].view(self.n, 2 * self.both))
        table[: 2 * self.n : 2] += bias
        table[self.gaussians] = weight[:, self.both :].T
        return table

    def gradients(self, d: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of sites, weights and bias from that of the table."""
        sites = d[: 2 * self.n].view(self.n, 2 * self.both)
        d_both = (sites.T @ x).unflatten(0, (2, self.both)).transpose(0, 1).flatten(1)
        d_weight = torch.cat([d_both, d[self.gaussians].T], 1)
        return sites @ self._of_sites(weight), d_weight, sites[:, : self.both].sum(0)

    def _of_sites(self, weight: Tensor) -> Tensor:
        parts = weight[:, : self.both].unflatten(1, (2, self.width))
        return parts.transpose(0, 1).flatten(0, 1)


class Sums:
    """The compiled sums of a batch."""

    def __init__(self, neighbors: NeighborLists, weight: NDArray[Any], width: int) -> None:
        self.neighbors, self.weight, self.width = neighbors, weight, width
        make = kernel_maker()
        assert make is not None
        self.kernels = make(width)

    def moments(self, table: Tensor) -> Tensor:
        """Sums of share * z over the messages of each row, [rows, 2 F]."""
        return self._spread(table, self.kernels.moments, (self.neighbors.share,))

    def gate(self, table: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Sum of the gated messages of each site, [n, F]."""
        out = table.new_empty(len(self.neighbors), self.width)
        rest = (self.weight, scale.numpy(), shift.numpy(), out.numpy())
        _in_threads([partial(self.kernels.gate, *b, *rest) for b in self._blocks(table)])
        return out

    def gate_gradient(self, table: Tensor, scale: Tensor, shift: Tensor, d: Tensor) -> Tensor:
        """Gradient of `gate` with respect to the scaled rows of the table, [rows, 2 F]."""
        rest = (self.weight, scale.numpy(), shift.numpy(), d.contiguous().numpy())
        return self._spread(table, self.kernels.gate_gradient, rest)

    def _spread(self, table: Tensor, kernel: Callable[..., None], rest: tuple[Any, ...]) -> Tensor:
        """Collect what each block adds to the rows of its sites, and to the Gaussians."""
        out, begin = torch.zeros_like(table), 2 * len(self.neighbors)
        flat, blocks = out.view(-1).numpy(), self._blocks(table)
        own = table.new_zeros(len(blocks), out[begin:].numel())  # aligned to the cache's lines
        pairs = zip(blocks, own.numpy(), strict=True)
        _in_threads([partial(kernel, *block, *rest, flat, part) for block, part in pairs])
        out[begin:] = own.sum(0).view(-1, table.shape[1])
        return out

    def _blocks(self, table: Tensor) -> list[tuple[Any, ...]]:
        of, n = self.neighbors, len(self.neighbors)
        common = (of.offset, of.source, of.distance, of.distances.near, of.distances.value)
        flat = table.view(-1).numpy()
        bounds = zip(of.blocks[:-1], of.blocks[1:], strict=True)
        return [(first, last, *common, flat, 2 * n) for first, last in bounds]


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "defectpool")


def _in_threads(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in as many threads as torch has."""
    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) < 2:
        for job in jobs:
            job()
    else:
        list(_workers(threads).map(lambda job: job(), jobs))


class GatedSum(torch.autograd.Function):
    r"""Sum over neighbors :math:`\sum_j c_{ij} \sigma(z_{ij,f}) \odot g(z_{ij,s})`, [n, F]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, neighbors: NeighborLists
    ) -> Tensor:
        """Return the sums; c is the smooth cutoff."""
        table = Table(neighbors, x.shape[1])
        rows = table.project(x, weight, bias)
        ctx.sums = Sums(neighbors, neighbors.cutoff_count, x.shape[1])
        one = rows.new_ones(table.both)
        ctx.save_for_backward(x, weight, rows, one, torch.zeros_like(one))
        ctx.table = table
        return ctx.sums.gate(rows, one, torch.zeros_like(one))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of sites, weights and bias."""
        x, weight, rows, one, zero = ctx.saved_tensors
        d_rows = ctx.sums.gate_gradient(rows, one, zero, gradients[0])
        return (*ctx.table.gradients(d_rows, x, weight), None)


class NormalizedGatedSum(torch.autograd.Function):
    r"""Gated convolution with both batch normalizations (`network.convolutions.Gated`), [n, F].

    With q the sums of p z over the messages of each row of the table, p the share of edges of a
    message, the variance of z is :math:`\sum_r t_r q_r` once the mean is taken off, and q is all
    that the gradient of batch normalization needs besides sums over rows.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gamma1: Tensor, beta1: Tensor,
        gamma2: Tensor, beta2: Tensor, neighbors: NeighborLists, eps: float,
        statistics: list[Tensor],
    ) -> Tensor:  # fmt: skip
        """Return sites out; an empty list of statistics is filled with those of the batch."""
        training = not statistics
        table = Table(neighbors, x.shape[1])
        sums = Sums(neighbors, neighbors.count, x.shape[1])
        t = table.project(x, weight, bias)
        targets = t[: 2 * table.n : 2]  # each message has one
        if training:
            mean1 = neighbors.table_share @ t
            targets -= mean1
            q = sums.moments(t)
            variance1 = torch.linalg.vecdot(t, q, dim=0)
        else:
            mean1, variance1 = statistics[:2]
            targets -= mean1
            q = t[:0]
        deviation1 = (variance1 + eps).rsqrt()
        scale = gamma1 * deviation1
        y = sums.gate(t, scale, beta1)
        mean2 = neighbors.row_share @ y if training else statistics[2]
        y -= mean2
        variance2 = neighbors.row_share @ y.square() if training else statistics[3]
        deviation2 = (variance2 + eps).rsqrt()
        out = F.softplus(torch.addcmul(beta2, y, gamma2 * deviation2).add_(x))
        if training:
            statistics += [mean1, variance1, mean2, variance2]
        ctx.table, ctx.sums, ctx.training = table, sums, training
        ctx.save_for_backward(x, weight, t, q, scale, beta1, deviation1, y, deviation2, gamma2, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs that have one."""
        x, weight, t, q, scale, beta1, deviation1, y, deviation2, gamma2, out = ctx.saved_tensors
        neighbors = ctx.sums.neighbors
        d = gradients[0] * -torch.expm1(-out)
        d_beta2 = d.sum(0)
        d_gamma2 = torch.linalg.vecdot(d, y, dim=0) * deviation2
        factor = gamma2 * deviation2
        d_y = d * factor
        if ctx.training:
            d_y -= neighbors.row_share[:, None] * torch.addcmul(
                factor * d_beta2, y, factor * deviation2 * d_gamma2
            )
        d_t = ctx.sums.gate_gradient(t, scale, beta1, d_y)
        total = d_t[: 2 * ctx.table.n : 2].sum(0)
        product = torch.linalg.vecdot(d_t, t, dim=0)
        if ctx.training:
            d_t.addcmul_(q, deviation1.square() * product, value=-1)
            d_t.addcmul_(neighbors.table_share[:, None], total, value=-1)
        d_t *= scale
        d_x, d_weight, d_bias = ctx.table.gradients(d_t, x, weight)
        return (
            d_x + d, d_weight, d_bias, product * deviation1, total, d_gamma2, d_beta2,
            None, None, None,
        )  # fmt: skip
