"""Drawing of a structure: its atoms in one piece, their displacements and the defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.scan.result import Result
from defectpool.scan.text import as_dict

if TYPE_CHECKING:
    from ase import Atoms

MOST = 4_000  # atoms; of a larger structure those next to the defects are drawn
FACE = -0.02  # fraction of a cell vector; atoms just below a face stay there
VACUUM = 4.0  # Å; a wider gap between layers of atoms is where a cell is cut


def drawing(result: Result) -> dict[str, Any] | None:
    """Structure of a result as the page draws it, lengths of atoms in thousandths of an Å.

    Parameters
    ----------
    result
        The result; of a structure of more than `MOST` atoms those next to the defects are
        drawn.

    Returns
    -------
    dict or None
        None where nothing was read.
    """
    atoms, finding = result.structure, result.finding
    if atoms is None:
        return None
    defects = finding.defects if finding else ()
    starts = cuts(atoms)
    positions = wrapped(atoms, atoms.positions, starts)
    places = wrapped(atoms, np.array([d.position for d in defects]).reshape(-1, 3), starts)
    record = as_dict(result)
    seen = [one for asked in record["networks"] for one in asked["defects"] or ()]
    where = wrapped(atoms, np.array([one["position"] for one in seen]).reshape(-1, 3), starts)
    host = finding.host if finding else None
    moves = np.nan_to_num(np.asarray(host.displacements)) if host else np.zeros_like(positions)
    kept = _next_to(positions, places)
    symbols = sorted(set(atoms.symbols))
    species = np.array([symbols.index(symbol) for symbol in atoms.symbols])
    return {
        "elements": symbols,
        "species": species[kept].tolist(),
        "positions": _thousandths(positions[kept]),
        "displacements": _thousandths(moves[kept]),
        "cell": _thousandths(atoms.cell.array),
        "flat": bool(starts[2] != FACE),
        "cut": len(kept) < len(atoms),
        "defects": [
            {
                "type": defect["type"],
                "name": defect["name"],
                "position": place.round(3).tolist(),
                "given": defect["position"],
                "moved": defect["distance_moved"],
                "score": defect["score"],
            }
            for defect, place in zip(record["defects"], places, strict=True)
        ],
        "seen": [
            {**defect, "given": defect["position"], "position": place.round(3).tolist()}
            for defect, place in zip(seen, where, strict=True)
        ],
    }


def cuts(atoms: Atoms) -> NDArray[np.float64]:
    """Where the cell is best cut open along each vector, as fractions [3].

    A slab that lies across the cell's face is drawn in one piece: the cut is in the middle of a
    gap wider than `VACUUM`; elsewhere it is just below the face.
    """
    starts = np.full(3, FACE)
    if atoms.cell.rank != 3:
        return starts
    fractions = np.sort(atoms.cell.scaled_positions(atoms.positions) % 1.0, axis=0)
    for axis, values in enumerate(fractions.T):
        gaps = np.diff(values, append=values[0] + 1.0)
        widest = int(np.argmax(gaps))
        if gaps[widest] * atoms.cell.lengths()[axis] > VACUUM:
            middle = values[widest] + gaps[widest] / 2
            starts[axis] = middle - np.round(middle)
    return starts


def wrapped(
    atoms: Atoms, positions: NDArray[np.float64], starts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions [n, 3] in Å moved by whole cell vectors to begin at the cuts."""
    if atoms.cell.rank != 3 or not len(positions):
        return positions
    fractions = atoms.cell.scaled_positions(positions)
    shifts = np.where(atoms.pbc, np.floor(fractions - starts), 0.0)
    return (fractions - shifts) @ atoms.cell.array


def _next_to(positions: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows that are drawn: all, or those nearest to a defect or to the first atom."""
    if len(positions) <= MOST:
        return np.arange(len(positions))
    from scipy.spatial import KDTree

    distances, _ = KDTree(places if len(places) else positions[:1]).query(positions)
    return np.sort(np.argsort(distances, kind="stable")[:MOST])


def _thousandths(values: NDArray[np.float64]) -> list[int]:
    return np.rint(1000 * np.asarray(values)).astype(int).ravel().tolist()
