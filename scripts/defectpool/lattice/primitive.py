"""Primitive cells: lattices that translations generate and that divide the given cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Crystal, Floats, Ints, reduced_cell
from .translations import Translations

INSIDE = 0.6  # Å; a translation this near a vector of the lattice belongs to it


@dataclass(frozen=True)
class Lattice:
    """A lattice that holds the given cell.

    Attributes
    ----------
    cell
        Reduced primitive cell in Å, [3, 3].
    supercell
        Integers [3, 3]; the given (reduced) cell is supercell @ cell.
    """

    cell: Floats
    supercell: Ints

    @property
    def size(self) -> int:
        """Number of primitive cells in the given cell."""
        return round(abs(np.linalg.det(self.supercell)))


def find_lattices(crystal: Crystal, translations: Translations) -> list[Lattice]:
    """Lattices that the best translations generate, from the given cell to ever smaller ones.

    Translations are taken in falling order of score. One that lies in the lattice so far adds
    nothing; any other makes it denser; one that would make it denser than the atoms is left out.
    """
    limit = int(np.unique(crystal.numbers, return_counts=True)[1].max())
    lattices = [Lattice(crystal.cell, np.eye(3, dtype=np.int64))]
    for vector in translations.vectors:
        denser = with_translation(lattices[-1], vector, crystal, limit)
        if denser is not None and denser.size > lattices[-1].size:
            lattices.append(denser)
    return lattices


def with_translation(
    lattice: Lattice, vector: Floats, crystal: Crystal, limit: int
) -> Lattice | None:
    """Lattice that a translation is added to; None if it lies in it or makes it too dense.

    Euclid's algorithm: what is left of a vector after the nearest vector of the lattice is taken
    off belongs to the lattice, too.
    """
    cell = lattice.cell
    pool = [vector]
    for _ in range(24):
        rest = [_remainder(v, cell, crystal.pbc) for v in pool]
        rest = [v for v in rest if np.linalg.norm(v) > INSIDE]
        if not rest:
            return _snapped(cell, crystal, limit) if cell is not lattice.cell else None
        cell, dropped = _exchange(cell, rest[0], crystal.pbc)
        if abs(np.linalg.det(crystal.cell)) / abs(np.linalg.det(cell)) > limit + 0.5:
            return None
        pool = rest + dropped
    return None


def _remainder(vector: Floats, cell: Floats, pbc: np.ndarray) -> Floats:
    """What is left of a vector after the nearest vector of the lattice is taken off."""
    scaled = np.where(pbc, vector @ np.linalg.inv(cell), 0.0)
    return vector - np.round(scaled) @ cell


def _exchange(cell: Floats, vector: Floats, pbc: np.ndarray) -> tuple[Floats, list[Floats]]:
    """Reduced cell in which a vector takes the place of one, and the vector that it replaced.

    Of the vectors that may be replaced the one with the largest share in it is: the smaller the
    change of volume, the less an error in the vector counts.
    """
    share = np.where(pbc, np.abs(vector @ np.linalg.inv(cell)), 0.0)
    axis = int(np.argmax(share))
    changed = cell.copy()
    changed[axis] = vector
    return reduced_cell(changed, pbc)[0], [cell[axis]]


def _snapped(cell: Floats, crystal: Crystal, limit: int) -> Lattice | None:
    """Lattice whose whole multiple is the given cell, next to an approximate one."""
    whole = crystal.cell @ np.linalg.inv(cell)
    supercell = np.round(whole).astype(np.int64)
    size = round(abs(np.linalg.det(supercell)))
    if not 1 <= size <= limit:
        return None
    exact = np.linalg.solve(supercell.astype(float), crystal.cell)
    if np.abs(np.linalg.norm(exact - cell, axis=1)).max() > INSIDE:
        return None
    exact, change = reduced_cell(exact, crystal.pbc)
    back = np.round(np.linalg.inv(change)).astype(np.int64)
    return Lattice(exact, supercell @ back)


def lattice_points(supercell: Ints) -> Ints:
    """Whole vectors of the lattice that are distinct in the supercell, [size, 3].

    They fill the box on the diagonal of the Hermite normal form.
    """
    diagonal = np.abs(np.diag(hermite_normal_form(supercell)))
    return np.stack(np.meshgrid(*map(np.arange, diagonal), indexing="ij"), axis=-1).reshape(-1, 3)


def hermite_normal_form(matrix: Ints) -> Ints:
    """Upper triangular integers [3, 3] whose rows generate the same lattice as the matrix."""
    rows = [[int(x) for x in row] for row in matrix]
    for column in range(3):
        for other in range(column + 1, 3):
            while rows[other][column]:
                factor = rows[column][column] // rows[other][column]
                rest = [a - factor * b for a, b in zip(rows[column], rows[other], strict=True)]
                rows[column], rows[other] = rows[other], rest
        if rows[column][column] < 0:
            rows[column] = [-x for x in rows[column]]
        for above in range(column):
            factor = rows[above][column] // rows[column][column]
            rows[above] = [a - factor * b for a, b in zip(rows[above], rows[column], strict=True)]
    return np.array(rows, dtype=np.int64)
