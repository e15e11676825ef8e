"""Supercells of a slab: repeated in the plane, not along c.

Files and pictures rely on the order of the sites: all images of the host's first atom, then all
of its second, and so on; the images of one atom in the order of `cells`. So site
`i * len(cells) + k` is the host's atom i in cell k.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from defectpool.materials.plane_lattice import reduced
from defectpool.supercell_labels import supercell_label, supercell_matrix

Matrix = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Supercell:
    """The plane of a supercell.

    Attributes
    ----------
    label
        "2x2", or "2_1x-1_1" for the matrix [[2, 1], [-1, 1]].
    matrix
        Rows are the new a and b in units of the host's.
    cells
        The host cells in it, in units of the host's a and b, in rising order; [cells, 2].
    center
        Index of the cell that holds the defect: the first of those nearest the middle. Only
        pictures depend on this choice.
    """

    label: str
    matrix: Matrix
    cells: NDArray[np.int64]
    center: int


@lru_cache(maxsize=64)
def supercell(label: str) -> Supercell:
    """Lay out a supercell. A left-handed matrix has its rows swapped: the lattice is the same."""
    matrix = supercell_matrix(label)
    (a, b), (c, d) = matrix
    size = a * d - b * c
    if size < 0:
        (a, b), (c, d) = matrix = (matrix[1], matrix[0])
        size = -size
    if size == 0:
        raise ValueError(f"supercell {label} has no area")
    first = np.arange(min(0, a, c, a + c), max(0, a, c, a + c) + 1)
    second = np.arange(min(0, b, d, b + d), max(0, b, d, b + d) + 1)
    points = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    # fractional coordinates in the supercell are points @ inverse; whole numbers keep this exact
    scaled = points @ np.array([[d, -b], [-c, a]])
    points = points[np.all((scaled >= 0) & (scaled < size), axis=1)]
    middles = (2 * points + 1) @ np.array([[d, -b], [-c, a]]) - size  # 2 * size * (fraction - 1/2)
    center = int(np.argmin((middles**2).sum(axis=1)))
    points.setflags(write=False)
    return Supercell(supercell_label(_label(matrix)), matrix, points, center)


def _label(matrix: Matrix) -> str:
    (a, b), (c, d) = matrix
    return f"{a}x{d}" if b == c == 0 and a > 0 else f"{a}_{b}x{c}_{d}"


def vectors(layout: Supercell, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell vectors of the supercell in Å, [3, 3], from the host's."""
    return np.vstack([np.array(layout.matrix, dtype=float) @ cell[:2], cell[2]])


def repeat(
    layout: Supercell, positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions of all sites of the supercell in Å, [sites * cells, 3]; for the order see above."""
    shifts = layout.cells @ cell[:2]
    return (positions[:, None, :] + shifts[None, :, :]).reshape(-1, 3)


def image_distance(layout: Supercell, cell: NDArray[np.float64]) -> float:
    """Distance in Å between a defect and its nearest periodic image."""
    return float(np.linalg.norm(reduced(vectors(layout, cell)[:2])[0]))


def enlarged(layout: Supercell, cell: NDArray[np.float64], distance: float) -> Supercell:
    """Return the smallest supercell of the same shape whose images are `distance` Å apart or more.

    The shape is the matrix without the factor common to its numbers: 2x2 grows to 3x3, 4x4, ...;
    3x2 to 6x4, 9x6, ...
    """
    (a, b), (c, d) = layout.matrix
    common = gcd(a, b, c, d)
    (a, b), (c, d) = (a // common, b // common), (c // common, d // common)
    unit = image_distance(supercell(_label(((a, b), (c, d)))), cell)
    n = max(common, int(np.ceil(distance / unit - 1e-9)))
    return supercell(_label(((n * a, n * b), (n * c, n * d))))
