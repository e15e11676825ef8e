"""Fit of a lattice to a crystal: basis, assignment of atoms to sites, description length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from defectpool.lattice.assignment import assign
from defectpool.lattice.basis import Basis, find_basis
from defectpool.lattice.description import defect_bits, displacement_bits, site_bits
from defectpool.lattice.geometry import Crystal, Floats, Ints
from defectpool.lattice.primitive import Lattice, lattice_points, reduced
from defectpool.lattice.superstructure import estimated_bits, index_within, sublattices

SPOILED = 7.0  # least bits of what spoils a translation for one atom: half a defect, or 0.4 Å
LEANEST = 0.8  # least number of sites, as a share of the atoms; a host has more atoms than sites
PATIENCE = 6  # lattices fitted after the best one
FAR = 1.5  # times the bits of the best fit; a refined basis does not make up for more


@dataclass(frozen=True)
class Fit:
    """A lattice and how the crystal fits it.

    Attributes
    ----------
    lattice, basis
        The primitive cell.
    site_numbers, site_positions
        All sites of the given cell, [N] and [N, 3]; the images of one site of the basis follow
        each other in the order of `lattice_points`.
    site_of_atom, displacements
        Of the atoms, [n] (-1: none) and [n, 3].
    n_defects
        Vacant sites, exchanged atoms and atoms without a site.
    n_extra
        Atoms without a site.
    bits
        Length of the description.
    """

    lattice: Lattice
    basis: Basis
    site_numbers: Ints
    site_positions: Floats
    site_of_atom: Ints
    displacements: Floats
    n_defects: int
    n_extra: int
    bits: float

    @cached_property
    def seated(self) -> Ints:
        """Atoms with a site, [m]."""
        return np.flatnonzero(self.site_of_atom >= 0)

    @cached_property
    def seats(self) -> tuple[Ints, Ints]:
        """Row of the basis and of the lattice point of the site of each seated atom, [m] each."""
        basis_site, point = np.divmod(self.site_of_atom[self.seated], self.lattice.size)
        return basis_site, point


def best_fits(crystal: Crystal, lattices: list[Lattice]) -> list[Fit]:
    """Fits of lattices, the shortest description first.

    A lattice is not fitted if its basis and the atoms that its translations miss take more bits
    than the best fit, or if it lies within a fitted lattice whose superstructure it would be, and
    the estimate of this is longer. At last the best lattice is compared with its own
    superstructures, so that one which is too symmetric is noticed even if its translations were
    not.
    """
    fits: list[Fit] = []
    failures = 0
    highest = max((lattice.score for lattice in lattices), default=0.0)
    for lattice in lattices:
        best = min((fit.bits for fit in fits), default=np.inf)
        if lattice.size > 1 and (
            _least_bits(crystal, lattice, highest) > best
            or failures >= PATIENCE
            or _estimate(crystal, lattice, fits, best) > best
        ):
            continue
        fit = fitted(crystal, lattice, best)
        failures = 0 if fit.bits < best else failures + 1
        if len(fit.basis.numbers):
            fits.append(fit)
    fits.sort(key=lambda fit: fit.bits)
    return _descended(crystal, fits)


def _least_bits(crystal: Crystal, lattice: Lattice, highest: float) -> float:
    """Bits that a lattice takes at the least: for its basis, and for what spoils its translations.

    Parameters
    ----------
    highest
        Best score of all lattices; displacements that all translations see count for none.
    """
    n = len(crystal.numbers)
    volume = abs(float(np.linalg.det(lattice.cell)))
    basis = LEANEST * n / lattice.size * site_bits(volume, crystal.n_species)
    return basis + SPOILED * n * (highest - lattice.score)


def _estimate(crystal: Crystal, lattice: Lattice, fits: list[Fit], limit: float) -> float:
    """Least bits of a lattice as a superstructure of those that fit, or 0 if it is none."""
    estimates = []
    for fit in fits:
        index = index_within(lattice, fit.lattice)
        if index is not None and fit.n_extra < 0.1 * len(crystal.numbers):
            estimates.append(estimated_bits(crystal, fit, index, limit))
    return min(estimates, default=0.0)


def _descended(crystal: Crystal, fits: list[Fit]) -> list[Fit]:
    """Fits with superstructures of the best one put before it as long as they are shorter."""
    while fits[0].lattice.size > 1:
        best = fits[0]
        options = [
            (estimated_bits(crystal, best, index, best.bits), index)
            for index in sublattices(best.lattice.supercell)
        ]
        bits, index = min(options, key=lambda option: option[0], default=(np.inf, None))
        if index is None or bits >= best.bits:
            break
        cell, supercell = index @ best.lattice.cell, best.lattice.supercell @ np.linalg.inv(index)
        fit = fitted(
            crystal,
            Lattice(cell, np.round(supercell).astype(np.int64), best.lattice.score),
        )
        if fit.bits >= best.bits:
            break
        fits = [fit, *fits]
    return fits


def fitted(crystal: Crystal, lattice: Lattice, best: float = np.inf) -> Fit:
    """Fill a lattice with its basis, compare it with the crystal, and count the bits.

    The basis of a fit that is far from the best one is not refined.
    """
    if lattice.size == 1:
        return _as_it_is(crystal, lattice)
    lattice = reduced(lattice, crystal.pbc)
    basis = find_basis(crystal, lattice)
    fit = _compared(crystal, lattice, basis)
    if not len(basis.numbers) or fit.bits > FAR * best:
        return fit
    return _compared(crystal, lattice, _centered(lattice, basis, fit))


def _as_it_is(crystal: Crystal, lattice: Lattice) -> Fit:
    """Fit of the given cell, in which each atom is a site of its own."""
    n = len(crystal.numbers)
    scaled = crystal.positions @ np.linalg.inv(lattice.cell)
    volume = abs(float(np.linalg.det(lattice.cell)))
    bits = n * site_bits(volume, crystal.n_species)
    basis, none = Basis(crystal.numbers, scaled), np.zeros((n, 3))
    numbers, positions = crystal.numbers, crystal.positions
    return Fit(lattice, basis, numbers, positions, np.arange(n), none, 0, 0, bits)


def _compared(crystal: Crystal, lattice: Lattice, basis: Basis) -> Fit:
    n = len(crystal.numbers)
    numbers, positions = supercell_sites(lattice, basis)
    if not len(numbers):
        none = np.full(n, -1)
        return Fit(lattice, basis, numbers, positions, none, np.zeros((n, 3)), n, n, np.inf)
    found, displacements = assign(
        crystal.numbers, crystal.positions, numbers, positions, crystal.cell, crystal.pbc
    )
    seated = found >= 0
    exchanged = int((crystal.numbers[seated] != numbers[found[seated]]).sum())
    vacant, extra = len(numbers) - int(seated.sum()), int((~seated).sum())
    volume = abs(float(np.linalg.det(lattice.cell)))
    n_species = crystal.n_species
    bits = (
        len(basis.numbers) * site_bits(volume, n_species)
        + defect_bits(len(numbers), vacant, exchanged, extra, volume * lattice.size, n_species)
        + displacement_bits(displacements)
    )
    n_defects = vacant + exchanged + extra
    return Fit(lattice, basis, numbers, positions, found, displacements, n_defects, extra, bits)


def _centered(lattice: Lattice, basis: Basis, fit: Fit) -> Basis:
    """Basis moved to the mean of all atoms on it that did not leave it far."""
    length = np.linalg.norm(fit.displacements, axis=1)
    seated = fit.site_of_atom >= 0
    usual = seated & (length <= 3 * np.median(length[seated], keepdims=True) + 1e-6)
    site = fit.site_of_atom[usual] // lattice.size
    count = np.bincount(site, minlength=len(basis.numbers))
    total = np.stack(
        [
            np.bincount(site, fit.displacements[usual, axis], minlength=len(basis.numbers))
            for axis in range(3)
        ],
        axis=1,
    )
    shift = total / np.maximum(count, 1)[:, None]
    return Basis(basis.numbers, basis.scaled + shift @ np.linalg.inv(lattice.cell))


def supercell_sites(lattice: Lattice, basis: Basis) -> tuple[Ints, Floats]:
    """Atomic numbers [N] and positions [N, 3] of all sites of the given cell."""
    points = lattice_points(lattice.supercell)
    scaled = (basis.scaled[:, None, :] + points[None, :, :]).reshape(-1, 3)
    return np.repeat(basis.numbers, len(points)), scaled @ lattice.cell
