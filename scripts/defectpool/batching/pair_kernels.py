"""Compiled loops over neighbors: sums of Gaussians, and sparse matrices by columns."""

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


@compiled
def transpose(index: Any, offset: Any, first: Any, row: Any, weight: Any, value: Any) -> None:
    """Entries of a sparse matrix by columns, in the order of its rows: a counting sort.

    `first`, zeros, becomes where each column begins, and the end. `row` and `value` become the row
    and the weight of each entry; without weights the last two arguments are empty.
    """
    for entry in range(len(index)):
        first[index[entry] + 1] += 1
    for column in range(1, len(first)):
        first[column] += first[column - 1]
    free = first[:-1].copy()
    for i in range(len(offset) - 1):
        for entry in range(offset[i], offset[i + 1]):
            place = free[index[entry]]
            free[index[entry]] += 1
            row[place] = i
            if len(weight):
                value[place] = weight[entry]
