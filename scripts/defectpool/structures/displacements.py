"""Strain and random displacements, to test a classifier on imperfect lattices."""

import numpy as np
from ase import Atoms
from numpy.typing import NDArray


def strained(atoms: Atoms, strain: float) -> Atoms:
    """Stretch a and b by the factor 1 + strain, with the sites; c and heights stay."""
    if strain == 0:
        return atoms
    cell = atoms.cell.array.copy()
    cell[:2] *= 1 + strain
    stretched = atoms.copy()
    stretched.set_cell(cell, scale_atoms=True)
    return stretched


def displacements(sites: int, rattle: float, seed: int) -> NDArray[np.float64]:
    """Gaussian displacements [sites, 3] in Å with standard deviation `rattle` along each axis."""
    return np.random.default_rng(seed).normal(scale=rattle, size=(sites, 3))
