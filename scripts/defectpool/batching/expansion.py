"""Expansion of distances in Gaussians, and the smooth cutoff."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Smaller values change no sum, but products with them are below the normal range of a float32,
# where processors of Intel take a hundred times as long.
SMALLEST = 1e-20


def gaussian_expansion(distances: Tensor, radius: float, gaussians: int) -> Tensor:
    """Expand distances in Gaussians, exp(-(d - mu_k)^2 / s^2), as the published code does.

    Values below `SMALLEST` are 0.

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
    return F.threshold(torch.exp(-(((distances[:, None] - centers) / step) ** 2)), SMALLEST, 0.0)


def smooth_cutoff(distances: Tensor, radius: float) -> Tensor:
    r"""Weights of distances, :math:`\frac{1}{2} (\cos(\pi d / r) + 1)`, 0 beyond the radius r.

    Source: Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 4.
    """
    return 0.5 * (torch.cos(torch.pi * (distances / radius).clamp(max=1)) + 1)
