"""Spread of bond lengths with the motion of atoms: trajectories against the harmonic model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.runtime.hashing import seed
from defectpool.structures.springs import thermal_displacements

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.evaluation.real_cells import RealCell

REACH = 6.0  # Å; pairs that are farther apart are left out
SAME_SHELL = 0.15  # Å; pairs whose mean distances are nearer to each other are one shell
LEAST_FRAMES = 10
MODEL_FRAMES = 10


def bond_spread(rest: Atoms, positions: NDArray[np.float64]) -> pd.DataFrame:
    """Standard deviation of the distances of each shell of neighbors.

    Parameters
    ----------
    rest
        The structure with all atoms on their sites.
    positions
        Positions in Å in several frames, [frames, atoms, 3], not wrapped into the cell.

    Returns
    -------
    DataFrame
        bond (species of the pair), distance (of the sites, mean over the shell, Å), spread (Å).
    """
    i, j, distance, shifts = neighbor_list("ijdS", rest, REACH)
    symbols = np.array(rest.get_chemical_symbols())
    once = (symbols[i] < symbols[j]) | ((symbols[i] == symbols[j]) & (i <= j))
    i, j, distance, shifts = i[once], j[once], distance[once], shifts[once]
    vectors = positions[:, j] - positions[:, i] + shifts @ rest.cell.array
    lengths = np.linalg.norm(vectors, axis=2)
    bonds = np.array([f"{a}-{b}" for a, b in zip(symbols[i], symbols[j], strict=True)])
    rows = []
    for bond in np.unique(bonds):
        chosen = np.flatnonzero(bonds == bond)
        chosen = chosen[np.argsort(distance[chosen], kind="stable")]
        gaps = np.flatnonzero(np.diff(distance[chosen]) > SAME_SHELL) + 1
        for shell in np.split(chosen, gaps):
            deviation = lengths[:, shell] - lengths[:, shell].mean(axis=0)
            spread = float(np.sqrt((deviation**2).mean()))
            rows.append((bond, float(distance[shell].mean()), spread))
    return pd.DataFrame(rows, columns=["bond", "distance", "spread"])


def of_trajectories(cells: Sequence[RealCell], temperature: float) -> pd.DataFrame:
    """Spread of bonds in pristine trajectories, and in the harmonic model of the same cells.

    Parameters
    ----------
    cells
        Labeled cells; frames of a file with the same atoms, none of them a defect, are one
        trajectory.
    temperature
        Temperature of the model in K.

    Returns
    -------
    DataFrame
        Columns of `bond_spread`, and set, host, source (`measured`, `model`).

    Raises
    ------
    DefectpoolError
        There is no such trajectory.
    """
    found: dict[tuple[str, str], list[Atoms]] = {}
    for cell in cells:
        if not cell.defects:
            key = (cell.set, cell.atoms.symbols.get_chemical_formula())
            found.setdefault(key, []).append(cell.atoms)
    tables = []
    for (name, _), frames in found.items():
        if len(frames) < LEAST_FRAMES:
            continue
        rest, positions = rest_of(frames)
        moves = [
            thermal_displacements(rest, temperature, seed("bond_spread", name, number))
            for number in range(MODEL_FRAMES)
        ]
        sources = {"measured": positions, "model": rest.positions + np.array(moves)}
        host = frames[0].symbols.get_chemical_formula(empirical=True)
        for source, each in sources.items():
            tables.append(bond_spread(rest, each).assign(set=name, host=host, source=source))
    if not tables:
        raise DefectpoolError(
            f"real.path: no file has {LEAST_FRAMES} frames of one pristine cell, of which a spread "
            "of bonds could be taken"
        )
    return pd.concat(tables, ignore_index=True)


def rest_of(frames: Sequence[Atoms]) -> tuple[Atoms, NDArray[np.float64]]:
    """Mean structure of a trajectory, and its positions without jumps across the cell."""
    first = frames[0]
    fractional = np.array([frame.get_scaled_positions(wrap=False) for frame in frames])
    fractional -= np.round(fractional - fractional[0])
    positions = fractional @ first.cell.array
    rest = first.copy()
    rest.positions = positions.mean(axis=0)
    return rest, positions
