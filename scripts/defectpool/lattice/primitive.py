"""Primitive cells: lattices that translations generate and that divide the given cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np

from defectpool.lattice.geometry import Crystal, Floats, Ints, reduced_cell
from defectpool.lattice.translations import Translations

COMMENSURATE = 0.25  # Å; a basis that misses the given cell by more divides it by no whole numbers
LEVELS = np.arange(0.95, 0.25, -0.05)  # of the best score: translations above generate a lattice
MISSING = 1.3  # cells for each atom of the most frequent species, which may lack some
FURTHER = 4  # translations tried in a basis besides the shortest independent ones


@dataclass(frozen=True)
class Lattice:
    """A lattice that holds the given cell.

    Attributes
    ----------
    cell
        Primitive cell in Å, [3, 3].
    supercell
        Integers [3, 3]; the given (reduced) cell is supercell @ cell.
    score
        Of the worst translation in the basis it was made of, 0 to 1.
    """

    cell: Floats
    supercell: Ints
    score: float

    @cached_property
    def size(self) -> int:
        """Number of primitive cells in the given cell."""
        return round(abs(np.linalg.det(self.supercell)))


def find_lattices(crystal: Crystal, translations: Translations) -> list[Lattice]:
    """Candidate lattices that translations generate and the given cell holds, by falling score.

    At each of several levels, the short translations above it are combined into bases. A basis
    counts if the given cell is a whole multiple of it; it is then strained to be exactly that.
    The given cell itself comes last.
    """
    frequent = int(np.unique(crystal.numbers, return_counts=True)[1].max())
    limit = int(MISSING * frequent) + 1
    whole = Translations(crystal.cell[crystal.pbc], np.ones(int(crystal.pbc.sum())))
    found = {_key(np.eye(3, dtype=np.int64)): Lattice(crystal.cell, np.eye(3, dtype=np.int64), 0.0)}
    above = 0
    for level in LEVELS * translations.scores.max(initial=0.0):
        count = int((translations.scores >= level).sum())
        if count == above:
            continue
        above = count
        bases = _commensurate(_short(translations, level, whole), crystal, limit)
        for key, (cell, supercell, score) in bases.items():
            found.setdefault(key, Lattice(cell, supercell, score))
    return sorted(found.values(), key=lambda lattice: (-round(lattice.score * 20), -lattice.size))


def _short(translations: Translations, level: float, whole: Translations) -> Translations:
    """Pool to make bases of: shortest independent translations, next ones, the given cell."""
    rows = np.flatnonzero(translations.scores >= level)
    rows = rows[np.argsort(np.linalg.norm(translations.vectors[rows], axis=1), kind="stable")]
    vectors = translations.vectors[rows]
    first = _independent(vectors)
    rest = np.setdiff1d(np.arange(len(rows)), first)[:FURTHER]
    chosen = rows[np.concatenate([first, rest]).astype(np.int64)]
    return Translations(
        np.concatenate([translations.vectors[chosen], whole.vectors]),
        np.concatenate([translations.scores[chosen], whole.scores]),
    )


def _independent(vectors: Floats) -> Ints:
    """Rows of the first vectors that are independent, at most three."""
    chosen: list[int] = []
    normals = np.zeros((0, 3))
    for _ in range(3):
        rest = vectors - vectors @ np.linalg.pinv(normals) @ normals if chosen else vectors
        fresh = np.linalg.norm(rest, axis=1) > 0.2 * np.linalg.norm(vectors, axis=1) + 1e-9
        if not fresh.any():
            break
        chosen.append(int(np.argmax(fresh)))
        normals = vectors[chosen]
    return np.array(chosen, dtype=np.int64)


def _commensurate(
    pool: Translations, crystal: Crystal, limit: int
) -> dict[bytes, tuple[Floats, Ints, float]]:
    """Cell, supercell and score of the lattices whose whole multiple the given cell is, by key."""
    dimension = int(crystal.pbc.sum())
    picks = np.array(list(combinations(range(len(pool.vectors)), dimension)))
    bases = np.tile(crystal.cell, (len(picks), 1, 1))
    bases[:, crystal.pbc] = pool.vectors[picks]
    volumes = np.abs(np.linalg.det(bases))
    solid = volumes > abs(np.linalg.det(crystal.cell)) / (limit + 0.5)
    bases, picks = bases[solid], picks[solid]
    supercells = np.round(crystal.cell @ np.linalg.inv(bases))
    sizes = np.abs(np.linalg.det(supercells))
    good = (sizes > 0.5) & (sizes < limit + 0.5)
    bases, picks, supercells = bases[good], picks[good], supercells[good]
    exact = np.linalg.solve(supercells, np.broadcast_to(crystal.cell, bases.shape))
    near = np.linalg.norm(exact - bases, axis=2).max(axis=1, initial=0.0) < COMMENSURATE
    scores = pool.scores[picks[near]].min(axis=1, initial=1.0)
    return _distinct(exact[near], supercells[near].astype(np.int64), scores)


def _distinct(
    cells: Floats, supercells: Ints, scores: Floats
) -> dict[bytes, tuple[Floats, Ints, float]]:
    """One basis of each lattice by its key, that of the best score."""
    best: dict[bytes, tuple[Floats, Ints, float]] = {}
    for row in np.argsort(-scores, kind="stable"):
        best.setdefault(_key(supercells[row]), (cells[row], supercells[row], float(scores[row])))
    return best


def reduced(lattice: Lattice, pbc: np.ndarray) -> Lattice:
    """Lattice in its reduced basis."""
    cell, change = reduced_cell(lattice.cell, pbc)
    back = np.round(np.linalg.inv(change)).astype(np.int64)
    return Lattice(cell, lattice.supercell @ back, lattice.score)


def _key(supercell: Ints) -> bytes:
    """Fingerprint of the lattice of which the cell is a multiple, in whatever basis it is told."""
    return hermite_normal_form(supercell.T).tobytes()


def lattice_points(supercell: Ints) -> Ints:
    """Whole vectors of the lattice that are distinct in the supercell, [size, 3].

    They fill the box on the diagonal of the Hermite normal form.
    """
    return _box(tuple(np.diag(hermite_normal_form(supercell)).tolist()))


@lru_cache(maxsize=16)
def _box(sides: tuple[int, ...]) -> Ints:
    """Whole vectors of a box, [size, 3]; not to be written to."""
    points = np.indices(sides).reshape(3, -1).T
    points.setflags(write=False)
    return points


def hermite_normal_form(matrix: Ints) -> Ints:
    """Upper triangular integers [3, 3] whose rows generate the same lattice as the matrix."""
    rows = matrix.tolist()
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
