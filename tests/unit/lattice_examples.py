"""Hosts for the tests of the lattice, written down as prototypes, and ways to spoil them."""

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, mx2
from ase.geometry import cellpar_to_cell


def layer(formula, scaled, a, b, gamma=120.0, vacuum=20.0) -> Atoms:
    """Slab whose fractional z is given in Å from the middle."""
    places = np.array(scaled, dtype=float)
    places[:, 2] = 0.5 + places[:, 2] / vacuum
    cell = cellpar_to_cell([a, b, vacuum, 90, 90, gamma])
    return Atoms(formula, scaled_positions=places, cell=cell, pbc=(True, True, False))


def molybdenite() -> Atoms:
    atoms = mx2("MoS2", kind="2H", a=3.18, thickness=3.13, vacuum=7.5)
    atoms.pbc = (True, True, False)
    return atoms


def boron_nitride() -> Atoms:
    atoms = graphene(formula="BN", a=2.504, vacuum=7.5)
    atoms.pbc = (True, True, False)
    return atoms


def trihalide(shift: float = 0.01) -> Atoms:
    """Honeycomb of metal between close-packed halogens: a triangle with a third missing."""
    x, z = 1 / 3 + shift, 1.6
    above = [(x, 0, z), (0, x, z), (1 - x, 1 - x, z)]
    below = [(1 - x, 0, -z), (0, 1 - x, -z), (x, x, -z)]
    return layer("Nb2I6", [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0), *above, *below], 7.0, 7.0)


def distorted_telluride(shift: float = 0.3) -> Atoms:
    """1T′: metal rows of the 1T structure in pairs, with twice the cell of 1T."""
    b, z, s = 3.45, 1.75, shift
    a = np.sqrt(3) * b
    metal = [(s / a, 0, 0.0), (0.5 - s / a, 0.5, 0.0)]
    above = [(1 / 3, 0, z + s / 2), (5 / 6, 0.5, z - s / 2)]
    below = [(2 / 3, 0, -z + s / 2), (1 / 6, 0.5, -z - s / 2)]
    return layer("W2Te4", [*metal, *above, *below], a, b, 90.0)


def hydroxide() -> Atoms:
    """Brucite's layer: O and H of one bond are 0.97 Å apart."""
    oxygen = [(1 / 3, 2 / 3, 1.03), (2 / 3, 1 / 3, -1.03)]
    hydrogen = [(1 / 3, 2 / 3, 2.0), (2 / 3, 1 / 3, -2.0)]
    return layer("MgO2H2", [(0, 0, 0), *oxygen, *hydrogen], 3.14, 3.14)


def mxene() -> Atoms:
    """Ti2C(OH)2."""
    titanium = [(1 / 3, 2 / 3, 1.15), (2 / 3, 1 / 3, -1.15)]
    oxygen = [(2 / 3, 1 / 3, 2.15), (1 / 3, 2 / 3, -2.15)]
    hydrogen = [(2 / 3, 1 / 3, 3.12), (1 / 3, 2 / 3, -3.12)]
    return layer("CTi2O2H2", [(0, 0, 0), *titanium, *oxygen, *hydrogen], 3.05, 3.05)


def perovskite() -> Atoms:
    face = [(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms(
        "SrTiO3",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), *face],
        cell=[3.905] * 3,
        pbc=True,
    )


def hosts() -> dict[str, tuple[Atoms, tuple[int, int, int]]]:
    """Return primitive cells of many prototypes and a supercell for each."""
    return {
        "MoS2": (molybdenite(), (4, 4, 1)),
        "BN": (boron_nitride(), (5, 5, 1)),
        "NbI3": (trihalide(), (3, 3, 1)),
        "WTe2": (distorted_telluride(), (2, 4, 1)),
        "Mg(OH)2": (hydroxide(), (3, 3, 1)),
        "Ti2C(OH)2": (mxene(), (3, 3, 1)),
        "NaCl": (bulk("NaCl", "rocksalt", 5.64), (3, 3, 3)),
        "GaAs": (bulk("GaAs", "zincblende", 5.65), (3, 3, 3)),
        "GaN": (bulk("GaN", "wurtzite", 3.19, c=5.19), (3, 3, 2)),
        "SrTiO3": (perovskite(), (3, 3, 2)),
        "Cu": (bulk("Cu", "fcc", 3.61), (4, 4, 4)),
        "Fe": (bulk("Fe", "bcc", 2.87), (4, 4, 4)),
    }


def supercell(name: str, noise: float = 0.0, seed: int = 0) -> Atoms:
    atoms, repeats = hosts()[name]
    return displaced(atoms * repeats, noise, seed)


def displaced(atoms: Atoms, noise: float, seed: int = 0) -> Atoms:
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, 1, moved.positions.shape) * noise
    return moved


def without(atoms: Atoms, *rows: int) -> Atoms:
    kept = atoms.copy()
    del kept[list(rows)]
    return kept


def exchanged(atoms: Atoms, **species: int) -> Atoms:
    """Put elements on rows: exchanged(atoms, N=3)."""
    changed = atoms.copy()
    for symbol, row in species.items():
        changed.symbols[row] = symbol
    return changed


def distance(atoms: Atoms, a, b) -> float:
    """Shortest distance of two places among the periodic images, by trying all of them."""
    from itertools import product

    shifts = product(*[(-2, -1, 0, 1, 2) if p else (0,) for p in atoms.pbc])
    offset = np.array(a, dtype=float) - np.array(b, dtype=float)
    scaled = offset @ np.linalg.inv(atoms.cell.array)
    offset = (scaled - np.round(scaled) * atoms.pbc) @ atoms.cell.array
    return min(float(np.linalg.norm(offset + np.array(s) @ atoms.cell.array)) for s in shifts)
