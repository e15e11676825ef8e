"""Thermal displacements of atoms, correlated as in a crystal, from a harmonic model of springs.

Every two atoms nearer than `REACH` times the sum of their covalent radii (Cordero et al., Dalton
Trans. 2008, 2832) are joined by a spring of the stiffness, at the distance r,

    k(r) = STIFFNESS / r^3 * exp(-DECAY * max((r / (r_i + r_j))^2 - 1, 0))

along the line between them, and `TRANSVERSE` times as much across it: the axially symmetric springs
of Born and von Karman. The stiffness of bonds falls with the cube of their length as in Badger's
rule (J. Chem. Phys. 2, 128 (1934)). The transverse part stands for the bending of bonds and keeps
the flexural modes of a layer finite. The four constants are the same for all hosts. They were set
so that 2H MoSe2 at 300 K spreads as in ab initio molecular dynamics.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.units import kB
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms
    from scipy.sparse import csr_array

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

STIFFNESS = 150.0  # eV Å
DECAY = 4.0
REACH = 1.6
TRANSVERSE = 0.07

# Displacements are rounded to this many decimals (Å): the last bits differ between machines.
DECIMALS = 6


def thermal_displacements(atoms: "Atoms", temperature: float, seed: int) -> Floats:
    """Displacements in Å, [sites, 3], of one classical snapshot at a temperature.

    Their covariance is k_B T times the pseudoinverse of the force constants: every mode has the
    energy k_B T / 2, and the crystal as a whole stays where it is. Each spring pulls with a random
    force whose covariance is its stiffness times k_B T; the displacements that balance these forces
    have that covariance (Papandreou and Yuille, NIPS 2010), so that no mode has to be computed.

    Parameters
    ----------
    atoms
        The structure at rest.
    temperature
        K.
    seed
        Seed of the sample.
    """
    from scipy.sparse.linalg import cg

    first, second, stiffness = springs(atoms)
    random = np.random.default_rng(seed).standard_normal((len(first), 3))
    pulls = np.sqrt(kB * temperature) * np.einsum("sij,sj->si", _roots(stiffness), random)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, first, pulls)
    np.subtract.at(forces, second, pulls)
    matrix = force_constants(len(atoms), first, second, stiffness)
    moves, failed = cg(matrix, forces.ravel(), rtol=1e-10)
    if failed:
        raise RuntimeError("the thermal displacements of a structure did not converge")
    moves = moves.reshape(-1, 3)
    return np.asarray(np.round(moves - moves.mean(axis=0), DECIMALS))


def springs(atoms: "Atoms") -> tuple[Ints, Ints, Floats]:
    """Springs between the atoms of a structure, each once.

    Springs between an atom and its own images never change their length, and are left out.

    Returns
    -------
    first, second
        The atoms that each spring joins.
    stiffness
        Its force constants in eV/Å², [springs, 3, 3].
    """
    radii = covalent_radii[atoms.numbers]
    first, second, distance, vector, image = neighbor_list("ijdDS", atoms, REACH * radii)
    once = np.flatnonzero(first < second)
    # in an order of their own: that of the list depends on the processor
    once = once[np.lexsort((*image[once].T, second[once], first[once]))]
    first, second, distance, vector = (x[once] for x in (first, second, distance, vector))
    stretch = (distance / (radii[first] + radii[second])) ** 2 - 1
    along = STIFFNESS / distance**3 * np.exp(-DECAY * np.maximum(stretch, 0))
    direction = vector / distance[:, None]
    line = direction[:, :, None] * direction[:, None, :]
    stiffness = along[:, None, None] * (line + TRANSVERSE * (np.eye(3) - line))
    return first, second, stiffness


def force_constants(sites: int, first: Ints, second: Ints, stiffness: Floats) -> "csr_array":
    """Force-constant matrix [3 sites, 3 sites] in eV/Å² of springs between atoms."""
    from scipy.sparse import coo_array

    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([first, second, second, first])
    values = np.concatenate([stiffness, stiffness, -stiffness, -stiffness])
    axes = np.arange(3)
    row = 3 * rows[:, None, None] + axes[:, None] + np.zeros(3, dtype=np.int64)
    column = 3 * columns[:, None, None] + axes + np.zeros((3, 1), dtype=np.int64)
    size = (3 * sites, 3 * sites)
    return coo_array((values.ravel(), (row.ravel(), column.ravel())), shape=size).tocsr()


def _roots(stiffness: Floats) -> Floats:
    """Square roots of symmetric matrices [springs, 3, 3], a stiffness along a line and across it.

    With L along and T across, the matrix is T + (L - T) n nᵀ, its root √T + (√L - √T) n nᵀ.
    """
    along = np.trace(stiffness, axis1=1, axis2=2) / (1 + 2 * TRANSVERSE)
    across = TRANSVERSE * along
    scale = (np.sqrt(along) - np.sqrt(across)) / (along - across)
    line = stiffness - across[:, None, None] * np.eye(3)
    return np.asarray(scale[:, None, None] * line + np.sqrt(across)[:, None, None] * np.eye(3))
