"""Compiled sums of Gaussians over pairs of neighbors."""

from __future__ import annotations

from typing import Any

from defectpool.batching.compilation import compiled


@compiled
def gaussian_sums(
    offset: Any, other: Any, distance: Any, share: Any, near: Any, value: Any, out: Any
) -> None:
    """Add share * Gaussians of each message to its target, `out[i, 0]`, and source, `out[i, 1]`."""
    for i in range(len(offset) - 1):
        for pair in range(offset[i], offset[i + 1]):
            j, d = other[pair], distance[pair]
            to, back, g = share[pair, 0], share[pair, 1], near[d]
            for k in range(value.shape[1]):
                u = value[d, k]
                out[i, 0, g + k] += to * u
                out[i, 1, g + k] += back * u
                out[j, 0, g + k] += back * u
                out[j, 1, g + k] += to * u
