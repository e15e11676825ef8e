"""Expansion of distances in Gaussians, and the smooth cutoff."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_expansion(distances: Tensor, radius: float, gaussians: int) -> Tensor:
    """Expand distances in Gaussians, exp(-(d - mu_k)^2 / s^2), as the published code does.

    Parameters
    ----------
    distances
        In Å, [d].
    radius
        Center of the last Gaussian in Å; the first is at 0.
    gaussians
        How many; their width s is their spacing.

    Returns
    -------
    Tensor
        [d, gaussians].
    """
    step = radius / (gaussians - 1)
    centers = torch.arange(gaussians, dtype=distances.dtype, device=distances.device) * step
    return torch.exp(-(((distances[:, None] - centers) / step) ** 2))


def smooth_cutoff(distances: Tensor, radius: float) -> Tensor:
    r"""Weights of distances, :math:`\frac{1}{2} (\cos(\pi d / r) + 1)`, 0 beyond the radius r.

    Source: Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 4.
    """
    return 0.5 * (torch.cos(torch.pi * (distances / radius).clamp(max=1)) + 1)
