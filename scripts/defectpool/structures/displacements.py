"""Strain and displacements: structures as loosely converged or warm cells have them."""

from collections.abc import Sequence
from math import nan

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from numpy.typing import NDArray

from defectpool.config import (
    WORDS,
    Displacements,
    DynamicsDisplacements,
    RelaxedDisplacements,
    StaticDisplacements,
    ThermalDisplacements,
)
from defectpool.runtime.hashing import seed
from defectpool.structures.defect_labels import FIRST_SHELL
from defectpool.structures.springs import thermal_displacements

# Å; an atom nearer to a defect than this is the defect's own.
OWN = 0.5
# Å; atoms farther from all defects than this are the far field.
FAR = 5.0


def strained(atoms: Atoms, strain: float) -> Atoms:
    """Stretch a and b by the factor 1 + strain, with the sites; c and heights stay."""
    if strain == 0:
        return atoms
    cell = atoms.cell.array.copy()
    cell[:2] *= 1 + strain
    stretched = atoms.copy()
    stretched.set_cell(cell, scale_atoms=True)
    return stretched


def uniform(low: float, high: float, seed: int) -> float:
    """Random number between two, by a seed."""
    return float(np.random.default_rng(seed).uniform(low, high))


def rattled(sites: int, rattle: float, seed: int) -> NDArray[np.float64]:
    """Gaussian displacements [sites, 3] in Å with standard deviation `rattle` along each axis."""
    return np.random.default_rng(seed).normal(scale=rattle, size=(sites, 3))


def name_of(model: Displacements | str) -> str:
    """Name of a displacement model with its parameter: "none", "static 0.02 Å", "thermal 300 K"."""
    match WORDS.get(model) if isinstance(model, str) else model:
        case StaticDisplacements(sigma=sigma):
            return f"static {sigma:g} Å"
        case ThermalDisplacements(temperature=temperature):
            return f"thermal {temperature:g} K"
        case RelaxedDisplacements(calculator=calculator):
            return f"relaxed {calculator}"
        case DynamicsDisplacements(calculator=calculator, temperatures=temperatures):
            return f"dynamics {calculator} {', '.join(f'{t:g}' for t in temperatures)} K"
        case _:
            return "none"


def draw(models: Sequence[Displacements | str], pair: str, random_seed: int) -> Displacements | str:
    """Draw a displacement model for a pair: that with the smallest random key.

    The key is a hash of the seed, the pair and the model. So another model in the list changes the
    pairs that draw it, and no others. Of several temperatures one is drawn in the same way.
    """
    drawn = min(models, key=lambda model: seed(random_seed, "model", pair, name_of(model)))
    return min(resolved(drawn), key=lambda one: seed(random_seed, "model", pair, name_of(one)))


def resolved(model: Displacements | str) -> list[Displacements | str]:
    """Return a model once for each of its temperatures."""
    whole = WORDS.get(model, model) if isinstance(model, str) else model
    if not isinstance(whole, DynamicsDisplacements):
        return [model]
    return [whole.model_copy(update={"temperatures": (t,)}) for t in whole.temperatures]


def displaced(atoms: Atoms, model: Displacements | str, structure: str, random_seed: int) -> Atoms:
    """Displace the atoms of a structure by a model, with a seed from the structure's id.

    Models that need a calculator leave them where they are, for `defectpool.structures.relaxation`.
    """
    name = name_of(model)
    if name == "none" or not len(atoms):
        return atoms
    own_seed = seed(random_seed, "displacements", structure, name)
    match WORDS.get(model) if isinstance(model, str) else model:
        case StaticDisplacements(sigma=sigma):
            moves = rattled(len(atoms), sigma, own_seed)
        case ThermalDisplacements(temperature=temperature):
            moves = thermal_displacements(atoms, temperature, own_seed)
        case _:
            return atoms
    moved = atoms.copy()
    moved.positions += moves
    return moved


def distances_moved(
    ideal: Atoms, positions: NDArray[np.float64], defects: NDArray[np.float64]
) -> dict[str, float]:
    """How far atoms moved from their sites: values that are written with a structure.

    Parameters
    ----------
    ideal
        The structure with all atoms on their sites.
    positions
        Where they are, [sites, 3] in Å. A common shift does not count.
    defects
        Ideal positions of the defects, [defects, 3]; of a pristine supercell, where they would be.

    Returns
    -------
    dict
        Distances in Å: `largest_displacement`; `near_displacement` and `far_displacement`, means
        over the atoms nearest to a defect (up to 1.2 times the shortest distance) and over those
        more than 5 Å from all defects; NaN if there is none.
    """
    moves = positions - ideal.positions
    moved = np.linalg.norm(moves - np.median(moves, axis=0), axis=1)
    _, apart = get_distances(defects, ideal.positions, cell=ideal.cell, pbc=ideal.pbc)
    others = np.where(apart > OWN, apart, np.inf)
    near = np.any(others <= FIRST_SHELL * others.min(axis=1, keepdims=True), axis=0)
    far = apart.min(axis=0) > FAR
    return {
        "largest_displacement": round(float(moved.max()), 4),
        "near_displacement": _mean(moved[near]),
        "far_displacement": _mean(moved[far]),
    }


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(values.mean()), 4) if len(values) else nan
