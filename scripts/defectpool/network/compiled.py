"""Gated convolutions by compiled sums (`network.message_kernels`), with gradients."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, NamedTuple

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

    def gate(self, sites: Tensor, gaussians: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Sum of the gated messages of each site, [n, F].

        Parameters
        ----------
        sites
            Projections of sites as targets and as sources, [n, 4 F].
        gaussians
            Projections of Gaussians, [K, 2 F].
        scale, shift
            Of the messages, [2 F].
        """
        out = sites.new_empty(len(sites), self.width)
        messages = self._of_messages(sites, gaussians, LOG2_E * scale, LOG2_E * shift)
        self._in_blocks(self.kernels.gate, *messages, out)
        return out

    def gate_gradient(
        self, sites: Tensor, gaussians: Tensor, scale: Tensor, shift: Tensor, center: Tensor,
        gradient: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Gradient of `gate` with respect to messages, and to their shift and scale.

        The first is added up at the sites, [n, 4 F], and at the Gaussians, [K, 2 F]; the last is
        that of the scale of messages less the center, [2 F].
        """
        messages = self._of_messages(sites, gaussians, LOG2_E * scale, LOG2_E * shift)
        out, collected = torch.empty_like(sites), self._collected(sites, self.rows + 2)
        parts = [(part[:-2].ravel(), *part[-2:]) for part in collected.numpy()]
        self._in_blocks(
            self.kernels.gate_gradient, *messages, center, gradient.contiguous(), out.view(-1),
            parts=parts,
        )  # fmt: skip
        rows = collected.sum(0)
        d_gaussians = rows[self.inside]
        return out, d_gaussians, rows[-2], rows[-1] + (d_gaussians * gaussians).sum(0)

    def moments(
        self, sites: Tensor, gaussians: Tensor, center: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of messages less their mean, times the shares of all edges that they stand for.

        At the sites, [n, 4 F], and at the Gaussians, [K, 2 F]; and of their squares, [2 F]. The
        center is the mean of what sites project to.
        """
        lists, flat = self.neighbors, sites.view(-1, 2 * self.width)
        out, collected = lists.expanded_sums @ gaussians, self._collected(sites, 1)
        parts = [(part[0],) for part in collected.numpy()]
        self._in_blocks(
            self.kernels.neighbor_sums, *self.pairs[:2], self.pairs[3], lists.site_share,
            sites.view(-1), center, out.view(-1), parts=parts,
        )  # fmt: skip
        of_gaussians = lists.expanded_sums.T @ flat + lists.expanded_moments @ gaussians
        squares = collected.sum(0)[0] + (of_gaussians * gaussians).sum(0)
        return out.view_as(sites), of_gaussians, squares

    def through_norm(
        self, d: Tensor, q: Tensor, scale: Tensor, total: Tensor, slope: Tensor
    ) -> Tensor:
        """Return scale * (d - share * total - slope * q), [n, 4 F], in the memory of d."""
        share = self.neighbors.site_share
        flat = d.view(-1), q.view(-1)
        self._in_blocks(self.kernels.table_gradient, *flat, share, scale, total, slope)
        return d

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

    def _of_messages(
        self, sites: Tensor, gaussians: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Any, ...]:
        padded = gaussians.new_zeros(self.rows, 2 * self.width)
        padded[self.inside] = gaussians
        return (*self.pairs, *self.distances, sites.view(-1), padded.view(-1), scale, shift)

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
    """Run jobs in as many threads as torch has, this one among them, each taking the next job."""
    waiting = iter(jobs)

    def work() -> None:
        for job in waiting:
            job()

    others = torch.get_num_threads() - 1
    working = [_workers(others).submit(work) for _ in range(min(others, len(jobs) - 1))]
    work()
    for one in working:
        one.result()


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


class Alike(NamedTuple):
    """Features of sites of which many are alike.

    Attributes
    ----------
    x
        Those that differ, [m, F].
    row
        Which of them each site has, [n]; None where every site has its own.
    """

    x: Tensor
    row: Tensor | None = None

    def project(self, weight: Tensor) -> Tensor:
        """Return the projections of all sites, [n, 4 F]."""
        found = self.x @ weight.T
        return found if self.row is None else found.index_select(0, self.row)

    def added_up(self, d: Tensor) -> Tensor:
        """Sum what belongs to sites that are alike, [n, 4 F] to [m, 4 F]."""
        if self.row is None:
            return d
        return d.new_zeros(len(self.x), d.shape[1]).index_add_(0, self.row, d)


def _of_sites(weight: Tensor, width: int) -> Tensor:
    """Weights of sites as targets and as sources, one below the other, [4 F, F]."""
    return weight[:, : 2 * width].unflatten(1, (2, width)).transpose(0, 1).flatten(0, 1)


def _of_weight(d_sites: Tensor, x: Tensor, d_gaussians: Tensor) -> Tensor:
    """Gradient of the weights from those of what sites and Gaussians project to."""
    d_of_sites = (d_sites.T @ x).unflatten(0, (2, -1)).transpose(0, 1).flatten(1)
    return torch.cat([d_of_sites, d_gaussians.T], 1)


class GatedSum(torch.autograd.Function):
    r"""Sum over neighbors :math:`\sum_j c_{ij} \sigma(z_{ij,f}) \odot g(z_{ij,s})`, [n, F].

    c are the weights of messages, z = W (x_i, x_j, u) + b.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, row: Tensor | None, weight: Tensor, bias: Tensor,
        neighbors: NeighborLists, count: NDArray[Any],
    ) -> Tensor:  # fmt: skip
        """Return the sums."""
        width = x.shape[1]
        of_sites = _of_sites(weight, width)
        sites, gaussians = Alike(x, row).project(of_sites), weight[:, 2 * width :].T
        ctx.sums, ctx.row = Sums(neighbors, count, width), row
        ctx.save_for_backward(x, of_sites, sites, gaussians, bias)
        return ctx.sums.gate(sites, gaussians, torch.ones_like(bias), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of sites, weights and bias."""
        x, of_sites, sites, gaussians, bias = ctx.saved_tensors
        one, zero = torch.ones_like(bias), torch.zeros_like(bias)
        d, d_gaussians, d_bias, _ = ctx.sums.gate_gradient(
            sites, gaussians, one, bias, zero, gradients[0]
        )
        d = Alike(x, ctx.row).added_up(d)
        return d @ of_sites, None, _of_weight(d, x, d_gaussians), d_bias, None, None


class NormalizedGatedSum(torch.autograd.Function):
    r"""`GatedSum` of messages that a batch normalization has passed, in training, [n, F].

    z = N(W (x_i, x_j, u) + b), with N the batch normalization over all edges. With T the matrix
    that adds up what sites and Gaussians project to, t, to messages T t, and p the shares of edges
    that messages stand for: going back, the normalization needs
    :math:`q = T^T (p (T t - mean))`, which comes with the variance, and the gradient g of the
    messages only as :math:`T^T g`, since :math:`\sum_m g_m z_m = \sum_r t_r (T^T g)_r`. The
    gradient of the bias b is 0, since the mean is subtracted from the messages.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, row: Tensor | None, weight: Tensor, bias: Tensor, gamma: Tensor,
        beta: Tensor, neighbors: NeighborLists, eps: float, statistics: list[Tensor],
    ) -> Tensor:  # fmt: skip
        """Return the sums; mean and variance of the messages are added to the statistics."""
        width = x.shape[1]
        of_sites = _of_sites(weight, width)
        sites, gaussians = Alike(x, row).project(of_sites), weight[:, 2 * width :].T
        center = mean_of_sites(sites, neighbors)
        mean = center + neighbors.mean_expanded @ gaussians
        q, q_gaussians, variance = Sums(neighbors, neighbors.share, width).moments(
            sites, gaussians, center
        )
        deviation = (variance.clamp_min(0) + eps).rsqrt()
        scale = gamma * deviation
        shift = beta - scale * mean
        statistics += [mean + bias, variance]
        ctx.sums, ctx.row = Sums(neighbors, neighbors.pairs.count, width), row
        ctx.save_for_backward(
            x, of_sites, sites, gaussians, mean, q, q_gaussians, deviation, scale, shift
        )
        return ctx.sums.gate(sites, gaussians, scale, shift)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of sites, weights, and of the normalization."""
        x, of_sites, sites, gaussians, mean, q, q_gaussians, deviation, scale, shift = (
            ctx.saved_tensors
        )
        sums: Sums = ctx.sums
        d, d_gaussians, total, product = sums.gate_gradient(
            sites, gaussians, scale, shift, mean, gradients[0]
        )
        slope = product * deviation.square()
        d = Alike(x, ctx.row).added_up(sums.through_norm(d, q, scale, total, slope))
        share = sums.neighbors.mean_expanded[:, None]
        d_gaussians = scale * (d_gaussians - share * total - slope * q_gaussians)
        d_weight, d_bias = _of_weight(d, x, d_gaussians), torch.zeros_like(total)
        return (
            d @ of_sites, None, d_weight, d_bias, product * deviation, total, None, None, None
        )  # fmt: skip


def mean_of_sites(sites: Tensor, neighbors: NeighborLists) -> Tensor:
    """Mean, over all edges, of what their two sites project to, [2 F]."""
    to, back = (torch.from_numpy(neighbors.site_share).T @ sites).unflatten(1, (2, -1))
    return to[0] + back[1]


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
