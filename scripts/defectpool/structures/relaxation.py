"""Relaxation and molecular dynamics of structures, and whether the result is what its labels say.

The cell is fixed. A relaxation starts from positions displaced by `START`, since forces that vanish
by symmetry would hold atoms on a saddle point. Dynamics start from a snapshot of the harmonic model
at the same temperature, which is near equilibrium.
"""

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from numpy.typing import NDArray

from defectpool.config import DynamicsDisplacements, RelaxedDisplacements
from defectpool.materials.plane_lattice import in_plane_distances, reduced
from defectpool.runtime.hashing import seed
from defectpool.structures.displacements import distances_moved, name_of, rattled
from defectpool.structures.springs import thermal_displacements
from defectpool.structures.structure_files import DefectStructure

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

Floats = NDArray[np.float64]
Model = RelaxedDisplacements | DynamicsDisplacements

START = 0.02  # Å along each axis
EXPLODED = 5.0  # Å; an atom that moved farther is lost
OVERLAP = 0.4  # of the sum of covalent radii; nearer atoms lie on each other
LEFT = 1.3  # Å; an atom of the host that moved farther has left its site
LOOK = 10  # steps of a relaxation after which it is stopped if atoms have left their sites
BOUND = 1.5  # of the sum of covalent radii; an atom of a defect that is farther from all is gone,
STRETCHED = 1.2  # unless its shortest bond is less than so many times that on its site: H is small
FRICTION = 0.02 / units.fs

# Reasons for which a structure is never kept: its positions mean nothing.
HOPELESS = ("calculator_failed", "exploded")


@dataclass(frozen=True)
class Outcome:
    """What became of a structure.

    Attributes
    ----------
    positions
        [sites, 3] in Å.
    notes
        energy (eV), steps, and how far atoms moved.
    reason
        Code of what went wrong; "" for nothing.
    message
        The explanation.
    """

    positions: Floats
    notes: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    message: str = ""


def relax(
    structure: DefectStructure, model: Model, calculator: "Calculator", random_seed: int
) -> Outcome:
    """Relax a structure or run molecular dynamics; seeded by the structure's id."""
    atoms = structure.atoms.copy()
    atoms.calc = calculator
    own_seed = seed(random_seed, "relaxation", structure.structure, name_of(model))
    try:
        with np.errstate(all="ignore"):
            if isinstance(model, RelaxedDisplacements):
                steps, converged = _minimized(atoms, structure, model, own_seed)
                aim = f"forces are above {model.fmax} eV/Å after {steps} steps"
            else:
                steps, converged, aim = _run(atoms, model, own_seed), True, ""
            energy = float(atoms.get_potential_energy())
    except MemoryError:
        raise
    except Exception as error:  # of any calculator; one structure must not stop a shard
        problem = f"{type(error).__name__}: {error}"
        if any(word in problem.lower() for word in ("cuda", "out of memory")):
            raise  # of the machine, not of the structure
        return Outcome(
            structure.atoms.positions, {}, "calculator_failed", " ".join(problem.split())
        )
    moves = atoms.positions - structure.atoms.positions
    positions = atoms.positions - np.median(moves, axis=0)
    if not np.isfinite(positions).all() or not np.isfinite(energy):
        return Outcome(structure.atoms.positions, {}, "exploded", "positions are not finite")
    notes = {"energy": energy, "steps": steps}
    notes |= distances_moved(structure.atoms, positions, structure.defect_positions)
    reason, message = problem_of(structure, positions)
    if not reason and not converged:
        reason, message = "not_converged", aim
    return Outcome(positions, notes, reason, message)


def applied(structure: DefectStructure, outcome: Outcome) -> DefectStructure:
    """Return a structure with the positions and values of its outcome."""
    atoms = structure.atoms.copy()
    atoms.positions = outcome.positions
    notes = {**structure.notes, **outcome.notes, "relaxation": outcome.reason or "converged"}
    return replace(structure, atoms=atoms, notes=notes)


def _minimized(
    atoms: Atoms, structure: DefectStructure, model: RelaxedDisplacements, own_seed: int
) -> tuple[int, bool]:
    """Minimize the energy; stop where atoms left their sites. Return steps and convergence."""
    from ase.optimize import LBFGS

    atoms.positions += rattled(len(atoms), START, own_seed)
    optimizer = LBFGS(atoms, logfile=os.devnull, maxstep=0.1)
    for converged in optimizer.irun(fmax=model.fmax, steps=model.steps):
        failed = optimizer.nsteps % LOOK == 0 and problem_of(structure, atoms.positions)[0]
        if converged or failed:
            return int(optimizer.nsteps), bool(converged)
    return int(optimizer.nsteps), False


def _run(atoms: Atoms, model: DynamicsDisplacements, own_seed: int) -> int:
    """Run Langevin dynamics. Return the number of steps."""
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    (temperature,) = model.temperatures
    ideal = atoms.positions.copy()
    atoms.positions += thermal_displacements(atoms, temperature, own_seed)
    random = np.random.RandomState(own_seed % 2**32)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=random)
    dynamics = Langevin(
        atoms,
        model.timestep * units.fs,
        temperature_K=temperature,
        friction=FRICTION,
        rng=random,
        fixcm=False,
        logfile=os.devnull,
    )
    for _ in dynamics.irun(model.steps):
        if not np.all(np.abs(atoms.positions - ideal) < 2 * EXPLODED):
            break
    return int(dynamics.nsteps)


def problem_of(structure: DefectStructure, positions: Floats) -> tuple[str, str]:
    """Reason code and explanation where positions are not what the labels say; "" if they are.

    Every atom should be nearer to its own site than to any other, and vacancies empty.

    Parameters
    ----------
    structure
        The structure with all atoms on their sites.
    positions
        Where they are now, [sites, 3] in Å.
    """
    ideal, defects = structure.atoms, structure.defects
    plane = reduced(ideal.cell.array[:2])
    apart, bonds = _bonds(ideal, positions)
    vacancies = [defect.position for defect in defects if defect.kind == "vacancy"]
    sites = np.vstack([ideal.positions, np.reshape(vacancies, (-1, 3))])
    to_sites = in_plane_distances(positions[:, None] - sites, plane)
    moved, nearest = np.diag(to_sites), to_sites.argmin(axis=1)
    astray = nearest != np.arange(len(positions))
    own = {defect.atom: defect for defect in defects if defect.atom is not None}
    longest = np.maximum(BOUND, STRETCHED * _bonds(ideal, ideal.positions)[1].min(axis=1))
    if not moved.max() <= EXPLODED or bonds.min() < OVERLAP:
        far = f"an atom moved by {moved.max():.2f} Å, the nearest two are {apart.min():.2f} Å apart"
        return "exploded", far
    if np.any(nearest >= len(positions)):
        return "lost_defect", "an atom moved into a vacancy"
    for row, defect in own.items():
        gone = bonds[row].min() > longest[row]
        # an interstitial may wander, but not push an atom of the host from its site
        if gone or (astray[row] and (defect.kind != "interstitial" or astray[nearest[row]])):
            what = "left the layer" if gone else "moved to another site"
            return "lost_defect", f"the atom of {defect.name} {what} ({moved[row]:.2f} Å)"
    host = np.array([row not in own for row in range(len(positions))])
    left = host & (astray | (moved > LEFT))
    if left.any():
        count, most = int(left.sum()), float(moved[left].max())
        return "rebuilt", f"{count} atoms of the host left their sites, by up to {most:.2f} Å"
    return "", ""


def _bonds(atoms: Atoms, positions: Floats) -> tuple[Floats, Floats]:
    """Distances of all atoms in Å, and in units of the sum of covalent radii, [sites, sites]."""
    plane = reduced(atoms.cell.array[:2])
    apart = in_plane_distances(positions[:, None] - positions, plane)
    np.fill_diagonal(apart, np.inf)
    radii = covalent_radii[atoms.numbers]
    return apart, apart / (radii[:, None] + radii)
