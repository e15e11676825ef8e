"""Convolutions of CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018)), the fast ones.

They compute on the rows and messages of a `Layer` (`batching.batch`), each of which may stand for
many sites or edges; sums, and the statistics of batch normalization, count them all. The same
convolutions in the plainest form: `network.convolutions_plain`.

A convolution is a module made by `(width, gaussians)` under the decorator `convolution`; the name
of its class, in lower case, then works in `convolutions` of the config. A class in a file of your
own needs no decorator: name it there as `my_convolutions.py:MyConvolution`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from defectpool.batching.layer import Layer
from defectpool.batching.neighbor_lists import NeighborLists
from defectpool.batching.sparse import SparseSum
from defectpool.network.compiled import (
    Alike,
    GatedSum,
    NormalizedGatedSum,
    NormalizedUpdate,
    gated,
    gated_gradient,
    kernel_maker,
)

Convolution = Callable[[int, int], nn.Module]

CONVOLUTIONS: dict[str, Convolution] = {}


def convolution(module: Convolution) -> Convolution:
    """Register a convolution under the name of its class, in lower case."""
    CONVOLUTIONS[module.__name__.lower()] = module
    return module


@convolution
class Gated(nn.Module):
    r"""Gated convolution, eq. 5 of Xie and Grossman 2018.

    .. math::
        z_{ij} = W (v_i \oplus v_j \oplus u_{ij}) + b, \quad
        v_i' = g\Big(v_i + N_2\Big[\sum_j \sigma(N_1 z_{ij})_f \odot g(N_1 z_{ij})_s\Big]\Big)

    with g the softplus, :math:`\sigma` the sigmoid, f and s the halves of its argument, and
    batch normalizations :math:`N_1` over edges and :math:`N_2` over sites, as in the published
    code, from which parameters are named.

    Parameters
    ----------
    width
        Features of a site, F.
    gaussians
        Features of an edge, K.

    Shapes
    ------
    - rows in [n, F], expanded distances [d, K] to rows out [k, F].
    """

    def __init__(self, width: int, gaussians: int) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * width + gaussians, 2 * width)
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.bn2 = nn.BatchNorm1d(width)

    def over_neighbors(
        self, x: Tensor, neighbors: NeighborLists, alike: Alike | None = None
    ) -> Tensor:
        """Convolve by compiled sums: sites in [n, F] to sites out [n, F].

        Where many sites are alike, `alike` are the different ones among x.
        """
        fc, bn1, bn2 = self.fc_full, self.bn1, self.bn2
        statistics = self._statistics()
        of_messages, of_sites = statistics[:2], statistics[2:]
        different = alike or Alike(x)
        if self.training:
            y = NormalizedGatedSum.apply(
                *different, fc.weight, fc.bias, bn1.weight, bn1.bias, neighbors, bn1.eps,
                of_messages,
            )  # fmt: skip
        else:
            # the first normalization is one of the weights
            scale = bn1.weight * (of_messages[1] + bn1.eps).rsqrt()
            shift = scale * (fc.bias - of_messages[0]) + bn1.bias
            count = neighbors.pairs.count
            weight = scale[:, None] * fc.weight
            y = GatedSum.apply(*different, weight, shift, neighbors, count)
        out: Tensor = NormalizedUpdate.apply(
            x, y, bn2.weight, bn2.bias, neighbors, bn2.eps, of_sites
        )
        edges, sites = x.new_tensor([neighbors.edges, neighbors.multiplicity.sum()])
        self._update([*of_messages, *of_sites], edges, sites)
        return out

    def _statistics(self) -> list[Tensor]:
        """Running statistics of both norms in evaluation, nothing in training."""
        found: list[Tensor] = []
        for norm in () if self.training else (self.bn1, self.bn2):
            assert norm.running_mean is not None and norm.running_var is not None
            found += [norm.running_mean, norm.running_var]
        return found

    def _update(self, statistics: list[Tensor], edges: Tensor, sites: Tensor) -> None:
        """Move the running statistics in training."""
        if self.training:
            update_running_statistics(self.bn1, statistics[0], statistics[1], edges)
            update_running_statistics(self.bn2, statistics[2], statistics[3], sites)

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F] to rows out [k, F]."""
        bn1, bn2, statistics = self.bn1, self.bn2, self._statistics()
        out = _Gated.apply(
            x, u, self.fc_full.weight, self.fc_full.bias,
            bn1.weight, bn1.bias, bn2.weight, bn2.bias, layer, bn1.eps, statistics,
        )  # fmt: skip
        self._update(statistics, layer.edges, layer.sites)
        return out


def update_running_statistics(
    norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: Tensor
) -> None:
    """Move running statistics as `torch.nn.BatchNorm1d` does: the variance is the unbiased one."""
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None and norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), norm.momentum)
    norm.num_batches_tracked.add_(1)


class _Gated(torch.autograd.Function):
    r"""The whole gated convolution with its gradient written out.

    What is computed for each message is little and memory traffic decides, so messages are
    touched as few times as torch allows. With T the matrix that adds up the three rows of the table
    of projections (targets, sources, distances) to each message, z = T t, and p the share of edges
    that each message stands for:

    - sites and distances are projected before they are gathered, and one embedding bag is T;
    - the mean of z is that of the table, and is taken off there, so messages come out centered; the
      variance is :math:`\sum_r t_r q_r` with :math:`q = T^T (p z)`, which the gradient needs too;
    - the derivatives of sigmoid * softplus are made with them, by one compiled loop on a CPU, and
      are all that is kept of the messages;
    - the gradient g of the messages is only ever needed as :math:`T^T g`, since the sums over
      messages in the gradient of batch normalization are
      :math:`\sum_m g_m z_m = \sum_r t_r (T^T g)_r`, and the rest of it follows from q.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, u: Tensor, weight: Tensor, bias: Tensor, gamma1: Tensor,
        beta1: Tensor, gamma2: Tensor, beta2: Tensor, layer: Layer, eps: float,
        statistics: list[Tensor],
    ) -> Tensor:  # fmt: skip
        """Return rows out; an empty list of statistics is filled with those of the batch."""
        n, width = x.shape
        training = not statistics
        table = x.new_empty(2 * n + u.shape[0], 2 * width)
        sites, distances = table[: 2 * n].view(n, 4 * width), table[2 * n :]
        both = weight[:, : 2 * width].unflatten(1, (2, width)).transpose(0, 1).flatten(0, 1)
        torch.mm(x, both.T, out=sites)
        torch.addmm(bias, u, weight[:, 2 * width :].T, out=distances)
        if training:
            mean1 = layer.table_share @ table
            distances -= mean1  # each message has one distance
            z = layer.lookup @ table
            assert layer.lookup_transposed_share, "a batch for evaluation is used in training"
            q = layer.lookup_transposed_share @ z
            variance1 = (table * q).sum(0)
        else:
            mean1, variance1 = statistics[:2]
            distances -= mean1
            z = layer.lookup @ table
            q = table.new_empty(0)
        deviation1 = (variance1 + eps).rsqrt()
        scale = gamma1 * deviation1
        message, slopes = _gates(z, scale, beta1)
        y = layer.total @ message
        mean2 = layer.row_share @ y if training else statistics[2]
        y -= mean2
        variance2 = layer.row_share @ y.square() if training else statistics[3]
        deviation2 = (variance2 + eps).rsqrt()
        out = torch.addcmul(beta2, y, gamma2 * deviation2)
        out = F.softplus(out.add_(x.index_select(0, layer.parent)))
        if training:
            statistics += [mean1, variance1, mean2, variance2]
        ctx.layer, ctx.training = layer, training
        ctx.save_for_backward(
            x, u, both, table, q, slopes, scale, deviation1, y, deviation2, gamma2, out
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs that have one."""
        x, u, both, table, q, slopes, scale, deviation1, y, deviation2, gamma2, out = (
            ctx.saved_tensors
        )
        layer: Layer = ctx.layer
        assert layer.lookup_transposed and layer.total_transposed
        n, width = x.shape
        # softplus: its derivative is 1 - exp(-softplus)
        d = gradients[0] * -torch.expm1(-out)
        # second batch norm: y is centered
        d_beta2 = d.sum(0)
        d_gamma2 = (d * y).sum(0) * deviation2
        factor = gamma2 * deviation2
        d_y = d * factor
        if ctx.training:
            d_y -= layer.row_share[:, None] * torch.addcmul(
                factor * d_beta2, y, factor * deviation2 * d_gamma2
            )
        # sums and gates
        d_message = layer.total_transposed @ d_y
        d_z = _gates_gradient(slopes, d_message)
        # first batch norm, and the gather
        d_table = layer.lookup_transposed @ d_z
        total = d_table[2 * n :].sum(0)  # each message has one distance
        product = (d_table * table).sum(0)
        if ctx.training:
            d_table.addcmul_(q, deviation1.square() * product, value=-1)
            d_table.addcmul_(layer.table_share[:, None], total, value=-1)
        d_table *= scale
        sites, distances = d_table[: 2 * n].view(n, 4 * width), d_table[2 * n :]
        d_x = (layer.children @ d).addmm_(sites, both)
        d_both = (sites.T @ x).unflatten(0, (2, 2 * width)).transpose(0, 1).flatten(1)
        d_weight = torch.cat([d_both, distances.T @ u], 1)
        return (
            d_x, None, d_weight, distances.sum(0), product * deviation1, total, d_gamma2, d_beta2,
            None, None, None,
        )  # fmt: skip


def _gates(z: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Sigmoid * softplus of the halves of scale * z + shift, [m, F], and derivatives, [m, 2 F].

    The memory of z is used again.
    """
    if _is_compiled(z):
        return gated(z, scale, shift), z
    gate, core = torch.addcmul(shift, z, scale, out=z).chunk(2, dim=1)
    softplus, slope = F.softplus(core), core.sigmoid()
    gate.sigmoid_()
    message = gate * softplus
    torch.mul(gate, slope, out=core)
    torch.addcmul(message, message, gate, value=-1, out=gate)
    return message, z


def _gates_gradient(slopes: Tensor, gradient: Tensor) -> Tensor:
    """Derivatives of `_gates` times the gradient of the messages, [m, 2 F]."""
    if _is_compiled(slopes):
        return gated_gradient(slopes, gradient)
    halves = slopes.unflatten(1, (2, gradient.shape[1]))
    return (halves * gradient[:, None]).flatten(1)


def _is_compiled(z: Tensor) -> bool:
    """Whether loops over messages are compiled: on a CPU, with numba."""
    return z.device.type == "cpu" and kernel_maker() is not None


def _messages(targets: Tensor, sources: Tensor, distances: Tensor, layer: Layer) -> Tensor:
    """Sums of what target, source and distance of each message project to, [m, F]."""
    sites = torch.stack([targets, sources], 1).flatten(0, 1)
    table = torch.cat([sites, distances], 0)
    total: Tensor = SparseSum.apply(table, layer.lookup, layer.lookup_transposed)
    return total


@convolution
class Smooth(nn.Module):
    r"""Gated convolution for atoms off their sites, with all neighbors within the cutoff radius.

    .. math::
        v_i' = g\Big(v_i + N\Big[\sum_j c(d_{ij}) \, \sigma(z_{ij,f}) \odot g(z_{ij,s})\Big]\Big)

    with z, g and :math:`\sigma` as in `Gated`, c the smooth cutoff (`batching.smooth_cutoff`), so
    that a neighbor that crosses the cutoff radius changes nothing, and N the layer normalization of
    each site. There are no statistics of a batch, which differ between kinds of cells.

    Parameters
    ----------
    width
        Features of a site, F.
    gaussians
        Features of an edge, K.

    Shapes
    ------
    - rows in [n, F], expanded distances [d, K] to rows out [k, F].
    """

    def __init__(self, width: int, gaussians: int) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * width + gaussians, 2 * width)
        self.norm = nn.LayerNorm(width)

    def over_neighbors(
        self, x: Tensor, neighbors: NeighborLists, alike: Alike | None = None
    ) -> Tensor:
        """Convolve by compiled sums: sites in [n, F] to sites out [n, F].

        Where many sites are alike, `alike` are the different ones among x.
        """
        weight, bias = self.fc_full.weight, self.fc_full.bias
        total = GatedSum.apply(
            *(alike or Alike(x)), weight, bias, neighbors, neighbors.cutoff_count
        )
        return F.softplus(x + self.norm(total))

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F] to rows out [k, F]."""
        width = x.shape[1]
        weight = self.fc_full.weight
        targets = F.linear(x, weight[:, :width], self.fc_full.bias)
        sources = F.linear(x, weight[:, width : 2 * width])
        z = _messages(targets, sources, u @ weight[:, 2 * width :].T, layer)
        gate, core = z.chunk(2, dim=1)
        cutoff = layer.cutoff.index_select(0, layer.messages.distance)[:, None]
        message = gate.sigmoid() * F.softplus(core) * cutoff
        total = SparseSum.apply(message, layer.total, layer.total_transposed)
        return F.softplus(x.index_select(0, layer.parent) + self.norm(total))


@convolution
class Summed(nn.Module):
    r"""Convolution of eq. 4 of Xie and Grossman 2018, which shares weights among all neighbors.

    .. math::
        v_i' = g\Big[\Big(\sum_j v_j \oplus u_{ij}\Big) W_c + v_i W_s + b\Big]

    with g the softplus.

    Parameters
    ----------
    width
        Features of a site, F.
    gaussians
        Features of an edge, K.

    Shapes
    ------
    - rows in [n, F], expanded distances [d, K] to rows out [k, F].
    """

    def __init__(self, width: int, gaussians: int) -> None:
        super().__init__()
        self.neighbors = nn.Linear(width + gaussians, width, bias=False)
        self.own = nn.Linear(width, width)

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F] to rows out [k, F]."""
        width = x.shape[1]
        weight = self.neighbors.weight
        sources = x @ weight[:, :width].T
        message = _messages(torch.zeros_like(sources), sources, u @ weight[:, width:].T, layer)
        total = SparseSum.apply(message, layer.total, layer.total_transposed)
        return F.softplus(total + self.own(x).index_select(0, layer.parent))


# Convolutions with compiled sums over neighbors (`over_neighbors`).
COMPILED = (Gated, Smooth)
