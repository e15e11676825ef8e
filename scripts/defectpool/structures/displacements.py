"""Strain and displacements: structures as loosely converged or warm cells have them."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectpool.config import Displacements, StaticDisplacements, ThermalDisplacements
from defectpool.runtime.hashing import seed
from defectpool.structures.springs import thermal_displacements

WORDS: dict[str, Displacements] = {
    "static": StaticDisplacements(model="static"),
    "thermal": ThermalDisplacements(model="thermal"),
}


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
        case _:
            return "none"


def draw(models: Sequence[Displacements | str], pair: str, random_seed: int) -> Displacements | str:
    """Draw a displacement model for a pair: that with the smallest random key.

    The key is a hash of the seed, the pair and the model. So another model in the list changes the
    pairs that draw it, and no others.
    """
    return min(models, key=lambda model: seed(random_seed, "model", pair, name_of(model)))


def displaced(atoms: Atoms, model: Displacements | str, structure: str, random_seed: int) -> Atoms:
    """Displace the atoms of a structure by a model, with a seed from the structure's id."""
    name = name_of(model)
    if name == "none" or not len(atoms):
        return atoms
    own_seed = seed(random_seed, "displacements", structure, name)
    match WORDS.get(model) if isinstance(model, str) else model:
        case StaticDisplacements(sigma=sigma):
            moves = rattled(len(atoms), sigma, own_seed)
        case ThermalDisplacements(temperature=temperature):
            moves = thermal_displacements(atoms, temperature, own_seed)
    moved = atoms.copy()
    moved.positions += moves
    return moved
