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
