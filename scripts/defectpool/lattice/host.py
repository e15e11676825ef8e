"""Host of a defective crystal: its primitive cell, and the pristine supercell that it fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from defectpool.lattice.description import site_bits
from defectpool.lattice.fit import Fit, best_fits
from defectpool.lattice.geometry import (
    Crystal,
    Floats,
    Ints,
    PeriodicTree,
    complete_cell,
    crystal,
    gathered,
    wrapped,
)
from defectpool.lattice.naming import reduced_formula
from defectpool.lattice.primitive import find_lattices
from defectpool.lattice.translations import find_translations

ALTERNATIVES = 5  # that are told of


@dataclass(frozen=True)
class Alternative:
    """Another lattice that the cell may have.

    Attributes
    ----------
    cell
        Primitive cell in Å, [3, 3].
    size
        Number of primitive cells in the given cell.
    formula
        Reduced formula of its basis.
    n_defects
        Number of sites that are vacant or exchanged, and of atoms without a site.
    bits
        Length of its description in bits; the host has the least.
    """

    cell: Floats
    size: int
    formula: str
    n_defects: int
    bits: float


@dataclass(frozen=True)
class Host:
    """The crystal that a defective structure is a supercell of.

    Attributes
    ----------
    cell
        Primitive cell in Å, [3, 3].
    numbers
        Atomic numbers of its basis, [b].
    scaled_positions
        Fractional positions of its basis, [b, 3].
    pbc
        Periodic axes, [3].
    supercell
        Integers [3, 3] with given cell = supercell @ cell.
    pristine_cell
        The given cell in Å, [3, 3].
    pristine_numbers
        Atomic numbers of all sites, [N]: sites of atoms in the given order, then vacant ones.
    pristine_positions
        Positions of all sites in Å, [N, 3], next to their atoms.
    site_of_atom
        Site of each atom, -1 for an interstitial, [n].
    atom_of_site
        Atom of each site, -1 for a vacancy, [N].
    displacements
        Of each atom from its site in Å, 0 for an interstitial, [n, 3].
    residual
        Root of the mean squared displacement in Å.
    formula
        Reduced formula.
    bits, bits_without_lattice
        Length of the description in bits, and of one that lists all atoms.
    alternatives
        Other lattices, the shortest description first.
    """

    cell: Floats
    numbers: Ints
    scaled_positions: Floats
    pbc: np.ndarray
    supercell: Ints
    pristine_cell: Floats
    pristine_numbers: Ints
    pristine_positions: Floats
    site_of_atom: Ints
    atom_of_site: Ints
    displacements: Floats
    residual: float
    formula: str
    bits: float
    bits_without_lattice: float
    alternatives: tuple[Alternative, ...]

    @property
    def size(self) -> int:
        """Number of primitive cells in the given cell."""
        return round(abs(np.linalg.det(self.supercell)))

    @cached_property
    def shortest_bond(self) -> float:
        """Median distance of a site to its nearest site in Å."""
        sites = self.pristine_positions
        for reach in (4.0, 12.0):
            tree = PeriodicTree(sites, self.pristine_cell, self.pbc, reach)
            vectors = tree.nearest(sites, k=2)[1][:, 1]
            length = np.linalg.norm(vectors, axis=1)
            if np.isfinite(length).mean() > 0.5:
                return float(np.median(length))
        return 3.0

    def symmetry(self, tolerance: float | None = None) -> str:
        """Symbol of the layer group (one axis not periodic) or of the space group, by spglib.

        Parameters
        ----------
        tolerance
            In Å, at most 0.3. By default six standard errors of a mean over all primitive cells,
            up to an eighth of the shortest bond.
        """
        if tolerance is None:
            largest = min(0.3, 0.12 * self.shortest_bond)
            tolerance = float(np.clip(6 * self.residual / np.sqrt(self.size), 0.01, largest))
        from defectpool.lattice.symmetry import group_symbol

        return group_symbol(self.cell, self.scaled_positions, self.numbers, self.pbc, tolerance)


def find_host(atoms: Any) -> Host:
    """Host lattice of a defective crystal, found without any reference.

    The translations that carry most atoms onto like atoms generate candidate lattices; each is
    filled with the basis that most cells agree on and compared with the crystal; the one with the
    shortest description is the host.

    Parameters
    ----------
    atoms
        Anything with `numbers`, `positions`, `cell` and `pbc`, such as `ase.Atoms`; a slab or bulk
        in any setting, two or more primitive cells.

    Raises
    ------
    ValueError
        If the structure has no atoms, no periodic axis, or arrays that do not fit each other.
    """
    return host_of(atoms, crystal(atoms))


def host_of(atoms: Any, canonical: Crystal) -> Host:
    """Host of a structure whose canonical form is known; see `find_host`."""
    if not len(canonical.numbers):
        raise ValueError("the structure has no atoms")
    if not canonical.pbc.any():
        raise ValueError("the structure has no periodic axis: set pbc, or it is a molecule")
    lattices = find_lattices(canonical, find_translations(canonical))
    return _host(atoms, canonical, best_fits(canonical, lattices))


def _host(atoms: Any, canonical: Crystal, fits: list[Fit]) -> Host:
    """Best fit in the order and the setting of the given structure."""
    best = fits[0]
    n = len(canonical.numbers)
    pbc = canonical.pbc
    given = complete_cell(
        np.array(atoms.cell, dtype=float).reshape(3, 3), pbc, np.asarray(atoms.positions)
    )
    places = gathered(np.asarray(atoms.positions, dtype=float), given, pbc)
    displacements = np.empty((n, 3))
    displacements[canonical.order] = best.displacements
    found = np.empty(n, dtype=np.int64)
    found[canonical.order] = best.site_of_atom
    vacant = np.setdiff1d(np.arange(len(best.site_numbers)), found)
    order = np.concatenate([found[found >= 0], vacant])
    positions = best.site_positions[order]
    seated = np.flatnonzero(found >= 0)
    positions[: len(seated)] = (places - displacements)[seated]
    positions[len(seated) :] = _inside(positions[len(seated) :], given, pbc)
    site_of_atom = np.full(n, -1, dtype=np.int64)
    site_of_atom[seated] = np.arange(len(seated))
    back = np.round(np.linalg.inv(canonical.change)).astype(np.int64)
    return Host(
        cell=best.lattice.cell,
        numbers=best.basis.numbers,
        scaled_positions=best.basis.scaled,
        pbc=pbc,
        supercell=back @ best.lattice.supercell,
        pristine_cell=given,
        pristine_numbers=best.site_numbers[order],
        pristine_positions=positions,
        site_of_atom=site_of_atom,
        atom_of_site=np.concatenate([seated, np.full(len(vacant), -1)]).astype(np.int64),
        displacements=displacements,
        residual=float(np.sqrt((displacements[seated] ** 2).sum(axis=1).mean())) if n else 0.0,
        formula=reduced_formula(best.basis.numbers.tolist()),
        bits=best.bits,
        bits_without_lattice=n * site_bits(abs(np.linalg.det(given)), len(set(atoms.numbers))),
        alternatives=tuple(_alternative(fit) for fit in fits[1 : 1 + ALTERNATIVES]),
    )


def _inside(positions: Floats, cell: Floats, pbc: np.ndarray) -> Floats:
    """Positions wrapped into the cell."""
    return wrapped(positions @ np.linalg.inv(cell), pbc) @ cell


def _alternative(fit: Fit) -> Alternative:
    formula = reduced_formula(fit.basis.numbers.tolist())
    return Alternative(fit.lattice.cell, fit.lattice.size, formula, fit.n_defects, fit.bits)
