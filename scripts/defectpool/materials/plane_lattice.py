"""Plane lattices."""

import numpy as np
from numpy.typing import NDArray


def reduced(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest basis [2, n] of a plane lattice (Lagrange and Gauss); shortest vector first."""
    u, v = np.array(plane, dtype=float)
    if u @ u > v @ v:
        u, v = v, u
    while True:
        v = v - np.round((u @ v) / (u @ u)) * u
        if v @ v >= u @ u * (1 - 1e-12):
            return np.array([u, v])
        u, v = v, u


def in_plane_distances(
    vectors_between: NDArray[np.float64], plane: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Lengths in Å of vectors [..., 3] to the nearest image; `plane` are reduced vectors [2, 3]."""
    images = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ plane
    inverse = np.linalg.pinv(plane)
    nearest = vectors_between - np.round(vectors_between @ inverse) @ plane
    return np.asarray(np.linalg.norm(nearest[..., None, :] + images, axis=-1).min(axis=-1))
