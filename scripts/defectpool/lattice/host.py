"""Host of a defective crystal: its primitive cell, and the pristine supercell that it fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .assignment import assign
from .basis import Basis, find_basis
from .description import defect_bits, displacement_bits, site_bits
from .geometry import Crystal, Floats, Ints, PeriodicTree, complete_cell, crystal, wrapped
from .naming import reduced_formula
from .primitive import Lattice, find_lattices, lattice_points
from .translations import find_translations


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
    bits
        Length of the description in bits.
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

    def symmetry(self, tolerance: float = 0.05) -> str:
        """Symbol of the layer group (one axis not periodic) or of the space group, by spglib.

        Parameters
        ----------
        tolerance
            In Å, at most 0.1: the cell is a mean over many, so its errors are small.
        """
        from .symmetry import group_symbol

        return group_symbol(self.cell, self.scaled_positions, self.numbers, self.pbc, tolerance)


@dataclass(frozen=True)
class _Fit:
    """A lattice and how the crystal fits it."""

    lattice: Lattice
    basis: Basis
    site_numbers: Ints
    site_positions: Floats
    site_of_atom: Ints
    displacements: Floats
    n_defects: int
    bits: float


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
    fits = [_fit(canonical, lattice) for lattice in lattices]
    fits = sorted((f for f in fits if len(f.basis.numbers)), key=lambda f: f.bits)
    return _host(atoms, canonical, fits)


def _fit(canonical: Crystal, lattice: Lattice) -> _Fit:
    """Fill a lattice, compare it with the crystal, and count the bits."""
    basis = find_basis(canonical, lattice)
    site_numbers, site_positions = _supercell(lattice, basis)
    if not len(site_numbers):
        none = np.full(len(canonical.numbers), -1)
        return _Fit(lattice, basis, site_numbers, site_positions, none, np.zeros((0, 3)), 0, np.inf)
    site_of_atom, displacements = assign(
        canonical.numbers,
        canonical.positions,
        site_numbers,
        site_positions,
        canonical.cell,
        canonical.pbc,
    )
    seated = site_of_atom >= 0
    exchanged = canonical.numbers[seated] != site_numbers[site_of_atom[seated]]
    counts = (len(site_numbers) - int(seated.sum()), int(exchanged.sum()), int((~seated).sum()))
    volume = abs(float(np.linalg.det(lattice.cell)))
    n_species = len(np.unique(canonical.numbers))
    bits = (
        len(basis.numbers) * site_bits(volume, n_species)
        + defect_bits(len(site_numbers), *counts, volume * lattice.size, n_species)
        + displacement_bits(displacements)
    )
    return _Fit(
        lattice, basis, site_numbers, site_positions, site_of_atom, displacements, sum(counts), bits
    )


def _supercell(lattice: Lattice, basis: Basis) -> tuple[Ints, Floats]:
    """Atomic numbers [N] and positions [N, 3] of all sites of the given cell."""
    points = lattice_points(lattice.supercell)
    scaled = (basis.scaled[:, None, :] + points[None, :, :]).reshape(-1, 3)
    return np.repeat(basis.numbers, len(points)), scaled @ lattice.cell


def _host(atoms: Any, canonical: Crystal, fits: list[_Fit]) -> Host:
    """Best fit in the order and the setting of the given structure."""
    best = fits[0]
    n = len(canonical.numbers)
    pbc = canonical.pbc
    given = complete_cell(
        np.array(atoms.cell, dtype=float).reshape(3, 3), pbc, np.asarray(atoms.positions)
    )
    displacements = np.empty((n, 3))
    displacements[canonical.order] = best.displacements
    found = np.empty(n, dtype=np.int64)
    found[canonical.order] = best.site_of_atom
    vacant = np.setdiff1d(np.arange(len(best.site_numbers)), found)
    order = np.concatenate([found[found >= 0], vacant])
    positions = best.site_positions[order]
    seated = np.flatnonzero(found >= 0)
    positions[: len(seated)] = (np.asarray(atoms.positions, dtype=float) - displacements)[seated]
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
        alternatives=tuple(_alternative(fit) for fit in fits[1:]),
    )


def _inside(positions: Floats, cell: Floats, pbc: np.ndarray) -> Floats:
    """Positions wrapped into the cell."""
    return wrapped(positions @ np.linalg.inv(cell), pbc) @ cell


def _alternative(fit: _Fit) -> Alternative:
    formula = reduced_formula(fit.basis.numbers.tolist())
    return Alternative(fit.lattice.cell, fit.lattice.size, formula, fit.n_defects, fit.bits)
