"""Convolutions of CGCNN in the plainest form, which reads like the equations.

They have the parameters of the fast ones (`network.convolutions`) and give the same outputs and
gradients, to rounding: `network.implementation: plain` in the config selects them, and the tests
compare the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from defectpool.batching.layer import Layer, Messages
from defectpool.network.convolutions import (
    CONVOLUTIONS,
    Convolution,
    Gated,
    Smooth,
    Summed,
    update_running_statistics,
)


class PlainGated(Gated):
    r"""Gated convolution, eq. 5 of Xie and Grossman 2018 (see `Gated`)."""

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F], expanded distances [d, K] to rows out [k, F]."""
        m = layer.messages
        z = self.fc_full(torch.cat([x[m.target], x[m.source], u[m.distance]], dim=1))
        gate, core = batch_norm(z, m.edges, self.bn1).chunk(2, dim=1)
        total = sum_messages(gate.sigmoid() * softplus(core), m)
        return softplus(x[m.parent] + batch_norm(total, m.weight, self.bn2))


class PlainSmooth(Smooth):
    r"""Gated convolution with a smooth cutoff (see `Smooth`)."""

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F], expanded distances [d, K] to rows out [k, F]."""
        m = layer.messages
        z = self.fc_full(torch.cat([x[m.target], x[m.source], u[m.distance]], dim=1))
        gate, core = z.chunk(2, dim=1)
        message = gate.sigmoid() * softplus(core) * layer.cutoff[m.distance][:, None]
        return softplus(x[m.parent] + self.norm(sum_messages(message, m)))


class PlainSummed(Summed):
    r"""Convolution of eq. 4 of Xie and Grossman 2018 (see `Summed`)."""

    def forward(self, x: Tensor, u: Tensor, layer: Layer) -> Tensor:
        """Convolve: rows in [n, F], expanded distances [d, K] to rows out [k, F]."""
        m = layer.messages
        message = self.neighbors(torch.cat([x[m.source], u[m.distance]], dim=1))
        return softplus(sum_messages(message, m) + self.own(x)[m.parent])


def sum_messages(values: Tensor, messages: Messages) -> Tensor:
    """Sum of the messages at each row out, with their multiplicities, [m, F] to [k, F]."""
    total = values.new_zeros(len(messages.parent), values.shape[1])
    return total.index_add(0, messages.row, messages.count[:, None] * values[messages.message])


def batch_norm(values: Tensor, count: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Batch normalization of rows that stand for `count` equal ones each, [rows, F]."""
    if norm.training:
        share = (count / count.sum()).to(values.dtype)[:, None]
        mean = (share * values).sum(0)
        variance = (share * (values - mean) ** 2).sum(0)
        update_running_statistics(norm, mean.detach(), variance.detach(), count.sum())
    else:
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    return norm.weight * (values - mean) / (variance + norm.eps).sqrt() + norm.bias


PLAIN: dict[str, Convolution] = {
    **CONVOLUTIONS,
    "gated": PlainGated,
    "smooth": PlainSmooth,
    "summed": PlainSummed,
}
