"""Gated convolutions by compiled sums (`network.message_kernels`), with gradients."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.neighbor_lists import NeighborLists

# Numbers of a message are in units of ln 2.
LOG2_E = 1.4426950408889634


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


class Sums:
    """The compiled sums of a batch, for messages that count as often as `weight` says, [p, 2]."""

    def __init__(self, neighbors: NeighborLists, weight: NDArray[Any], width: int) -> None:
        make = kernel_maker()
        assert make is not None
        pairs, distances = neighbors.pairs, neighbors.distances
        self.neighbors, self.width, self.kernels = neighbors, width, make(width)
        self.pairs = (pairs.offset, pairs.other, pairs.distance, weight)
        self.distances = (distances.near, distances.value)
        inside = distances.padding, distances.padding + distances.gaussians
        self.inside, self.rows = slice(*inside), distances.rows

    def gate(self, sites: Tensor, gaussians: Tensor, bias: Tensor) -> Tensor:
        """Sum of the gated messages of each site, [n, F].

        Parameters
        ----------
        sites
            Projections of sites as targets and as sources, in units of ln 2, [n, 4 F].
        gaussians, bias
            Projections of Gaussians and the bias in these units, [K, 2 F] and [2 F].
        """
        out = sites.new_empty(len(sites), self.width)
        self._in_blocks(self.kernels.gate, *self._of_messages(sites, gaussians, bias), out)
        return out

    def gate_gradient(
        self, sites: Tensor, gaussians: Tensor, bias: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of `gate` with respect to its arguments in natural units."""
        messages = self._of_messages(sites, gaussians, bias)
        out, collected = torch.empty_like(sites), self._collected(sites, self.rows + 1)
        parts = [(part[:-1].ravel(), part[-1]) for part in collected.numpy()]
        self._in_blocks(
            self.kernels.gate_gradient, *messages, gradient.contiguous(), out.view(-1), parts=parts
        )
        rows = collected.sum(0)
        return out, rows[self.inside], rows[-1]

    def neighbor_sums(self, x: Tensor) -> Tensor:
        """Sums of share * (x_i, x_j) over the messages to and of (x_j, x_i) over those from i.

        The last two are in the other order: x_i is its own, [n, 4 F].
        """
        out, site_share = x.new_empty(len(x), 4 * self.width), self.neighbors.site_share
        self._in_blocks(
            self.kernels.neighbor_sums, *self.pairs[:2], self.pairs[3], site_share, x, out
        )
        return out

    def update(self, x: Tensor, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Softplus of x + scale * y + shift, [n, F]."""
        out = torch.empty_like(y)
        self._in_blocks(self.kernels.update, x, y, scale, shift, out)
        return out

    def update_gradient(
        self, out: Tensor, y: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of `update` with respect to x, and its sums over sites, plain and times y."""
        d, collected = torch.empty_like(out), self._collected(out, 1)
        parts = [(part.ravel(),) for part in collected.numpy()]
        self._in_blocks(self.kernels.update_gradient, out, y, gradient.contiguous(), d, parts=parts)
        plain, times_y = collected.sum(0)[0].chunk(2)
        return d, plain, times_y

    def norm_gradient(
        self, d: Tensor, y: Tensor, scale: Tensor, mean: Tensor, slope: Tensor
    ) -> Tensor:
        """Return scale * d - share * (mean + slope * y), with the shares of the sites, [n, F]."""
        out, share = torch.empty_like(d), self.neighbors.row_share
        self._in_blocks(self.kernels.norm_gradient, d, y, share, scale, mean, slope, out)
        return out

    def _of_messages(self, sites: Tensor, gaussians: Tensor, bias: Tensor) -> tuple[Any, ...]:
        padded = gaussians.new_zeros(self.rows, 2 * self.width)
        padded[self.inside] = gaussians
        return (*self.pairs, *self.distances, sites.view(-1), padded.view(-1), bias)

    def _collected(self, like: Tensor, rows: int) -> Tensor:
        """Zeros for what each block collects, [blocks, rows, 2 F]."""
        return like.new_zeros(len(self.neighbors.blocks) - 1, rows, 2 * self.width)

    def _in_blocks(
        self, kernel: Callable[..., None], *arguments: Any, parts: list[Any] | None = None
    ) -> None:
        """Run a kernel on all blocks, each with its own part at the end."""
        arrays = [one.numpy() if isinstance(one, Tensor) else one for one in arguments]
        blocks = list(zip(self.neighbors.blocks[:-1], self.neighbors.blocks[1:], strict=True))
        own = zip(blocks, parts or [()] * len(blocks), strict=True)
        _in_threads([partial(kernel, *block, *arrays, *part) for block, part in own])


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


# Messages of a block, where none of them is a sum over others.
TOGETHER = 1024


def gated(z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return sigmoid * softplus of the halves of scale * z + shift, [m, F].

    z, [m, 2 F], becomes its derivatives with respect to scale * z + shift.
    """
    out = z.new_empty(len(z), z.shape[1] // 2)
    _of_each_message("gated", z, scale, shift, out)
    return out


def gated_gradient(slopes: Tensor, gradient: Tensor) -> Tensor:
    """Return these derivatives times the gradient of the messages, [m, 2 F]."""
    out = torch.empty_like(slopes)
    _of_each_message("gated_gradient", slopes, gradient.contiguous(), out)
    return out


def _of_each_message(name: str, first: Tensor, *others: Tensor) -> None:
    make, m = kernel_maker(), len(first)
    assert make is not None
    kernel = getattr(make(first.shape[1] // 2), name)
    arrays = [one.numpy() for one in (first, *others)]
    blocks = [(i, min(i + TOGETHER, m)) for i in range(0, m, TOGETHER)]
    _in_threads([partial(kernel, *block, *arrays) for block in blocks])


class GatedSum(torch.autograd.Function):
    r"""Sum over neighbors :math:`\sum_j c_{ij} \sigma(z_{ij,f}) \odot g(z_{ij,s})`, [n, F].

    c are the weights of messages, z = W (x_i, x_j, u) + b.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, neighbors: NeighborLists,
        count: NDArray[Any],
    ) -> Tensor:  # fmt: skip
        """Return the sums."""
        width = x.shape[1]
        of_sites = weight[:, : 2 * width].unflatten(1, (2, width)).transpose(0, 1).flatten(0, 1)
        sites = x @ (LOG2_E * of_sites).T
        gaussians, units = LOG2_E * weight[:, 2 * width :].T, LOG2_E * bias
        ctx.sums = Sums(neighbors, count, width)
        ctx.save_for_backward(x, of_sites, sites, gaussians, units)
        return ctx.sums.gate(sites, gaussians, units)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of sites, weights and bias."""
        x, of_sites, sites, gaussians, bias = ctx.saved_tensors
        d, d_gaussians, d_bias = ctx.sums.gate_gradient(sites, gaussians, bias, gradients[0])
        d_of_sites = (d.T @ x).unflatten(0, (2, -1)).transpose(0, 1).flatten(1)
        return d @ of_sites, torch.cat([d_of_sites, d_gaussians.T], 1), d_bias, None, None


class _SecondMoments(torch.autograd.Function):
    r"""Second moments of (x_i, x_j, u, 1) over all edges, [2 F + K + 1, 2 F + K + 1].

    With :math:`P_{ij}` the share of edges that the messages from j to i stand for,
    :math:`\sum p x_i x_j^T = X^T P X`, and the moments with what does not depend on x are products
    with sums over the messages of each site, which are made once for a batch.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbors: NeighborLists) -> Tensor:
        """Return the moments; u are the expanded distances less their mean."""
        f = x.shape[1]
        ctx.sums, ctx.expanded = neighbor_sums(neighbors, x), neighbors.expanded_sums
        own, crossed, source = (x.T @ ctx.sums[:, : 3 * f]).split(f, dim=1)
        of_target, of_source = (x.T @ ctx.expanded).chunk(2, dim=1)
        sites = torch.cat([torch.cat([own, crossed], 1), torch.cat([crossed.T, source], 1)])
        mixed = torch.cat([of_target, of_source])
        return torch.cat(
            [torch.cat([sites, mixed], 1), torch.cat([mixed.T, neighbors.expanded_moments], 1)]
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the sites."""
        d = gradients[0] + gradients[0].T
        f = ctx.sums.shape[1] // 4
        own, crossed, of_target = d[:f, :f], d[:f, f : 2 * f], d[:f, 2 * f :]
        source, of_source = d[f : 2 * f, f : 2 * f], d[f : 2 * f, 2 * f :]
        d_x = ctx.sums @ torch.cat([own, crossed.T, source, crossed])
        return d_x.addmm_(ctx.expanded, torch.cat([of_target.T, of_source.T])), None


def neighbor_sums(neighbors: NeighborLists, x: Tensor) -> Tensor:
    """Sums of p (x_i, x_j) over messages to each site and p (x_j, x_i) from it, [n, 4 F]."""
    return Sums(neighbors, neighbors.share, x.shape[1]).neighbor_sums(x)


def message_statistics(
    x: Tensor, weight: Tensor, neighbors: NeighborLists
) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of W (x_i, x_j, u) over all edges, both [2 F].

    They follow from the mean m and the covariance C of (x_i, x_j, u) as :math:`W m` and
    :math:`\mathrm{diag}(W C W^T)`, without the messages.
    """
    center = (neighbors.row_share @ x).detach()  # any point would do but for rounding
    moments = _SecondMoments.apply(x - center, neighbors)
    apart = moments[:-1, -1]
    covariance = moments[:-1, :-1] - apart[:, None] * apart
    mean = weight @ (apart + torch.cat([center, center, neighbors.mean_expanded]))
    return mean, ((weight @ covariance) * weight).sum(1).clamp_min(0)


class NormalizedUpdate(torch.autograd.Function):
    """Softplus of x + N(y), N the batch normalization over sites, [n, F]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, gamma: Tensor, beta: Tensor, neighbors: NeighborLists,
        eps: float, statistics: list[Tensor],
    ) -> Tensor:  # fmt: skip
        """Return sites out; an empty list of statistics is filled with those of the batch."""
        ctx.training = not statistics
        mean = neighbors.row_share @ y if ctx.training else statistics[0]
        y = y - mean
        variance = neighbors.row_share @ y.square() if ctx.training else statistics[1]
        statistics[:] = mean, variance
        deviation = (variance + eps).rsqrt()
        ctx.sums = Sums(neighbors, neighbors.pairs.count, x.shape[1])
        out = ctx.sums.update(x.contiguous(), y, gamma * deviation, beta)
        ctx.save_for_backward(y, gamma, deviation, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs that have one."""
        y, gamma, deviation, out = ctx.saved_tensors
        d, d_beta, times_y = ctx.sums.update_gradient(out, y, gradients[0])
        scale, d_gamma = gamma * deviation, times_y * deviation
        by_batch = scale if ctx.training else torch.zeros_like(scale)
        d_y = ctx.sums.norm_gradient(d, y, scale, by_batch * d_beta, by_batch * deviation * d_gamma)
        return d, d_y, d_gamma, d_beta, None, None, None
