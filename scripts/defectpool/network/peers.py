"""Peers of a site: the sites of its element, in the same crystal, whose features are most like its.

In a host with several inequivalent sites of an element, the mean over the element is a mean of
different environments, from which every site deviates. Peers are sites of the same environment. A
site of a defect has none, and deviates from the nearest that there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from defectpool.network.pooling import ALIKE, Groups, Sites

# Numbers in a matrix of similarities; more are computed one part after the other.
MOST = 2**22


def peer_deviations(sites: Sites, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    r"""Deviation of each site from its peers, plain and in units of their spread.

    .. math::
        w_{ij} \propto (m_j - \delta_{ij}) e^{-s |v_i - v_j|^2}, \quad
        \mu_i = \sum_j w_{ij} v_j, \quad \sigma_i^2 = \sum_j w_{ij} (v_j - \mu_i)^2

    over the nodes j of the element of i in the same crystal, each of :math:`m_j` sites.

    Parameters
    ----------
    sites
        The sites.
    sharpness
        How much nearer sites count, s, a number above 0.

    Returns
    -------
    tuple of Tensor
        :math:`v_i - \mu_i` and :math:`(v_i - \mu_i) / \sigma_i`, [nodes, F]; 0 for the only site
        of an element.
    """
    features, groups = sites.features, sites.elements
    order, place = groups.members.index.long(), torch.empty_like(groups.members.index).long()
    apart, scaled = [], []
    for rows, mask in _padded(groups):
        own = features[rows] * mask[..., None]
        multiplicity = sites.multiplicity[rows][..., 0] * mask
        step = max(1, MOST // mask.numel())
        weighted = [
            _weighted(own, multiplicity, sharpness, slice(first, first + step))
            for first in range(0, mask.shape[1], step)
        ]
        mean, square, total = (torch.cat(part, dim=1) for part in zip(*weighted, strict=True))
        deviation = (own - mean) * (total > 0)
        variance = (square - mean.square()).clamp_min(0)
        apart.append(deviation[mask])
        scaled.append((deviation * (variance + ALIKE**2).rsqrt())[mask])
    place[order] = torch.arange(len(order), device=order.device)
    return torch.cat(apart)[place], torch.cat(scaled)[place]


def _weighted(
    own: Tensor, multiplicity: Tensor, sharpness: Tensor, some: slice
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and mean square over the peers of some sites of each group, and the sum of weights."""
    squares, mine = own.square().sum(-1), own[:, some]
    distance = squares[:, some, None] + squares[:, None, :] - 2 * mine @ own.transpose(1, 2)
    number = torch.arange(own.shape[1], device=own.device)
    itself = (number[some, None] == number) & (multiplicity[:, None, :] > 0)
    others = multiplicity[:, None, :] - itself.to(own.dtype)
    logits = torch.where(others > 0, -sharpness * distance.clamp_min(0), -torch.inf)
    largest = logits.amax(-1, keepdim=True).detach().clamp_min(torch.finfo(own.dtype).min)
    weight = others * torch.exp(logits - largest)
    total = weight.sum(-1, keepdim=True)
    weight = weight / total.clamp_min(torch.finfo(own.dtype).tiny)
    return weight @ own, weight @ own.square(), total


def _padded(groups: Groups) -> list[tuple[Tensor, Tensor]]:
    """Nodes of neighboring groups as a rectangle, and which places of it are taken."""
    offset = groups.members.offset.tolist()
    found, first = [], 0
    while first < len(offset) - 1:
        last, widest = first, 0
        while last < len(offset) - 1:
            wider = max(widest, offset[last + 1] - offset[last])
            if last > first and (last + 1 - first) * wider**2 > MOST:
                break
            last, widest = last + 1, wider
        begin = groups.members.offset[first:last, None].long()
        count = groups.members.offset[first + 1 : last + 1, None].long() - begin
        each = torch.arange(widest, device=begin.device)[None]
        mask = each < count
        rows = groups.members.index.long()[(begin + each * mask)]
        found.append((rows, mask))
        first = last
    return found
