"""Cells, wrapping and nearest periodic images: the geometry that the other modules share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

VACUUM = 5.0  # Å; a gap this wide within a cell is the vacuum of a layer that was wrapped

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """A structure in a canonical form: reduced cell, atoms in an order that geometry gives.

    Attributes
    ----------
    numbers
        Atomic numbers, [n].
    positions
        Wrapped into the reduced cell along periodic axes, in Å, [n, 3].
    cell
        Reduced cell in Å, [3, 3]; `cell = change @ given cell`.
    pbc
        Periodic axes, [3].
    change
        Unimodular integers, [3, 3].
    order
        Row in the given structure of each atom, [n].
    """

    numbers: Ints
    positions: Floats
    cell: Floats
    pbc: NDArray[np.bool_]
    change: Ints
    order: Ints

    @cached_property
    def labels(self) -> Ints:
        """Label of each atom's species from 0, [n]."""
        return np.unique(self.numbers, return_inverse=True)[1]

    @cached_property
    def n_species(self) -> int:
        """Number of species."""
        return int(self.labels.max(initial=-1)) + 1


def crystal(atoms: Any) -> Crystal:
    """Canonical form of a structure: any order of atoms, wrapping and setting give the same.

    Parameters
    ----------
    atoms
        Anything with `numbers`, `positions`, `cell` and `pbc`, such as `ase.Atoms`.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, hold numbers that are not finite, or if a periodic
        axis has no length.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=float)
    if positions.shape != (len(numbers), 3):
        raise ValueError(f"positions must be [{len(numbers)}, 3], not {list(positions.shape)}")
    pbc = np.broadcast_to(np.asarray(atoms.pbc, dtype=bool), 3).copy()
    given = np.array(atoms.cell, dtype=float).reshape(3, 3)
    if not (np.isfinite(positions).all() and np.isfinite(given).all()):
        raise ValueError("positions and cell must be finite numbers")
    given = complete_cell(given, pbc, positions)
    positions = gathered(positions, given, pbc)
    cell, change = reduced_cell(given, pbc)
    scaled = wrapped(positions @ np.linalg.inv(cell), pbc)
    keys = np.round(scaled, 6) % np.where(pbc, 1, np.inf)
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], numbers))
    return Crystal(numbers[order], scaled[order] @ cell, cell, pbc, change, order)


def gathered(positions: Floats, cell: Floats, pbc: NDArray[np.bool_]) -> Floats:
    """Positions in Å [n, 3] in which a layer is in one piece along axes that are not periodic.

    Codes that are periodic in all directions wrap atoms through the vacuum; those beyond a wide
    gap are brought back to the others.
    """
    whole = positions.copy()
    scaled = positions @ np.linalg.inv(cell)
    for axis in np.flatnonzero(~pbc):
        levels = np.sort(scaled[:, axis])
        if len(levels) < 2 or levels[-1] - levels[0] >= 1:
            continue
        gaps = np.diff(levels)
        widest = int(np.argmax(gaps))
        outer = 1 - (levels[-1] - levels[0])
        height = 1 / float(np.linalg.norm(np.linalg.inv(cell)[:, axis]))
        if gaps[widest] > outer and gaps[widest] * height > VACUUM:
            few_above = 2 * (widest + 1) > len(levels)
            beyond = scaled[:, axis] > levels[widest] + gaps[widest] / 2
            whole += np.where(beyond if few_above else ~beyond, 1, 0)[:, None] * (
                cell[axis] * (-1 if few_above else 1)
            )
    return whole


def complete_cell(cell: Floats, pbc: NDArray[np.bool_], positions: Floats) -> Floats:
    """Cell in which axes that are not periodic and have no length are given one, [3, 3].

    Raises
    ------
    ValueError
        If a periodic axis has no length or periodic axes are parallel.
    """
    full = cell.copy()
    scale = np.linalg.norm(full, axis=1)
    if np.any(scale[pbc] < 1e-3):
        raise ValueError("a periodic axis of the cell has no length: set the cell or pbc")
    extent = float(np.ptp(positions, axis=0).max()) + 10.0 if len(positions) else 10.0
    for axis in np.flatnonzero(~pbc & (scale < 1e-3)):
        rest = full[np.linalg.norm(full, axis=1) > 1e-3]
        full[axis] = extent * np.linalg.svd(rest.reshape(-1, 3))[2][-1]
    volume = abs(np.linalg.det(full)) / np.prod(np.linalg.norm(full, axis=1))
    if volume < 1e-4:
        raise ValueError("the vectors of the cell lie in one plane: give a cell with a volume")
    return full


def reduced_cell(cell: Floats, pbc: NDArray[np.bool_]) -> tuple[Floats, Ints]:
    """Shortest vectors of the lattice that the periodic axes span; the others stay as they are.

    Pairs and triples are reduced greedily (Semaev, 2001), which gives a Minkowski-reduced basis
    in up to three dimensions.

    Returns
    -------
    The reduced cell [3, 3] and the unimodular integers [3, 3] with reduced = integers @ cell.
    """
    axes = np.flatnonzero(pbc).tolist()
    change = np.eye(3, dtype=np.int64)
    for _ in range(1000):
        current = change @ cell
        gram = current @ current.T
        for i in sorted(axes, key=lambda row: -float(gram[row, row])):
            others = [axis for axis in axes if axis != i]
            steps = _steps(gram.tolist(), i, others)
            if any(steps):
                change[i] -= sum(s * change[axis] for s, axis in zip(steps, others, strict=True))
                break
        else:
            break
    return change @ cell, change


def _steps(gram: list[list[float]], i: int, others: list[int]) -> tuple[int, ...]:
    """Multiples of the other vectors that shorten vector i most when they are taken away.

    Parameters
    ----------
    gram
        Inner products of the vectors, [3, 3].
    i, others
        Rows of the vector and of the at most two others.
    """
    if not others:
        return ()
    nearest = [round(x) for x in _projection(gram, i, others)]
    best, least = (0,) * len(others), gram[i][i] * (1 - 1e-9)
    for shifts in product((-1, 0, 1), repeat=len(others)):
        steps = tuple(n + s for n, s in zip(nearest, shifts, strict=True))
        squared = gram[i][i]
        for s, a in zip(steps, others, strict=True):
            squared -= 2 * s * gram[i][a]
            squared += sum(s * t * gram[a][b] for t, b in zip(steps, others, strict=True))
        if squared < least:
            best, least = steps, squared * (1 - 1e-9)
    return best


def _projection(gram: list[list[float]], i: int, others: list[int]) -> list[float]:
    """Coefficients of the projection of vector i onto the others."""
    if len(others) == 1:
        a = others[0]
        return [gram[i][a] / gram[a][a]]
    a, b = others
    determinant = gram[a][a] * gram[b][b] - gram[a][b] ** 2
    return [
        (gram[i][a] * gram[b][b] - gram[i][b] * gram[a][b]) / determinant,
        (gram[i][b] * gram[a][a] - gram[i][a] * gram[a][b]) / determinant,
    ]


def wrapped(scaled: Floats, pbc: NDArray[np.bool_]) -> Floats:
    """Fractional coordinates brought into [0, 1) along periodic axes, same shape."""
    inside = scaled - np.floor(scaled) * pbc
    return np.where(pbc & (inside >= 1), 0.0, inside)


def shortest(vectors: Floats, cell: Floats, pbc: NDArray[np.bool_]) -> Floats:
    """Shortest periodic images of vectors, [..., 3], in a reduced cell.

    Rounding of fractional coordinates is exact for vectors shorter than half the cell's inner
    radius, which is what it is used for.
    """
    scaled = vectors @ np.linalg.inv(cell)
    return vectors - np.where(pbc, np.round(scaled), 0.0) @ cell


class PeriodicTree:
    """k-d tree of points and of their periodic images within reach, by label.

    Images within `reach` outside the cell are stored, so skewed cells need no special care.
    Points of different labels are kept apart along a fourth axis.
    """

    def __init__(
        self,
        positions: Floats,
        cell: Floats,
        pbc: NDArray[np.bool_],
        reach: float,
        labels: Ints | None = None,
    ) -> None:
        from scipy.spatial import cKDTree  # not needed where findings are only read

        self.cell, self.pbc, self.reach = cell, pbc, reach
        self.inverse = np.linalg.inv(cell)
        scaled = wrapped(positions @ self.inverse, pbc)
        rows = np.arange(len(scaled))
        for axis in np.flatnonzero(pbc).tolist():
            pad = reach * float(np.linalg.norm(self.inverse[:, axis]))
            scaled, rows = _with_images(scaled, rows, axis, pad)
        self.rows = rows
        self.points = scaled[: len(positions)] @ cell
        self._lift = 4.0 * reach
        points = scaled @ cell
        self.tree = cKDTree(points if labels is None else self._lifted(points, labels[rows]))

    def _lifted(self, points: Floats, labels: Ints) -> Floats:
        return np.column_stack([points, labels * self._lift])

    def nearest(
        self, points: Floats, labels: Ints | None = None, k: int = 1
    ) -> tuple[Ints, Floats]:
        """Nearest points within reach and the vectors to them.

        Parameters
        ----------
        points
            In Å, [m, 3].
        labels
            Only points of the same label are found, [m].
        k
            How many.

        Returns
        -------
        Rows [m, k] (-1: none within reach) and vectors in Å [m, k, 3] (infinite there); without
        the axis k if k is 1.
        """
        inside = wrapped(points @ self.inverse, self.pbc) @ self.cell
        lifted = inside if labels is None else self._lifted(inside, labels)
        distance, found = self.tree.query(lifted, k=k, distance_upper_bound=self.reach)
        missing = ~np.isfinite(distance)
        found = np.where(missing, 0, found)
        origin = inside if k == 1 else inside[:, None, :]
        vectors = self.tree.data[found][..., :3] - origin
        vectors[missing] = np.inf
        return np.where(missing, -1, self.rows[found]), vectors

    def around(self, point: Floats) -> tuple[Ints, Floats]:
        """Rows [m] of the points within reach of one, and the vectors to them in Å [m, 3]."""
        inside = wrapped(point @ self.inverse, self.pbc) @ self.cell
        found = self.tree.query_ball_point(inside, self.reach)
        return self.rows[found], self.tree.data[found] - inside

    def count(self, points: Floats, labels: Ints | None = None) -> Ints:
        """Count of points within reach, [m], of the same label where labels are given."""
        inside = wrapped(points @ self.inverse, self.pbc) @ self.cell
        lifted = inside if labels is None else self._lifted(inside, labels)
        return np.asarray(self.tree.query_ball_point(lifted, self.reach, return_length=True))


def _with_images(scaled: Floats, rows: Ints, axis: int, pad: float) -> tuple[Floats, Ints]:
    """Points and their images along one axis that lie within `pad` of the cell."""
    points, owners = [scaled], [rows]
    places = scaled[:, axis]
    for shift in range(-int(np.ceil(pad)), int(np.ceil(pad)) + 1):
        if shift:  # images above the cell can only be too high, those below too low
            inside = places < 1 + pad - shift if shift > 0 else places > -pad - shift
            near = np.flatnonzero(inside)
            images = scaled[near]
            images[:, axis] += shift
            points.append(images)
            owners.append(rows[near])
    return np.concatenate(points), np.concatenate(owners)
