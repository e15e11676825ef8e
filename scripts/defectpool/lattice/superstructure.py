"""Superstructures: lattices within a lattice, judged by what its sites hold.

If a lattice is too dense (1T for a distorted 1T′, a triangle for a honeycomb with a third of it
missing), the sites that it takes for equivalent fall into classes: their displacements or their
occupations repeat with a period of their own. Sorting the sites of a fit into the classes of a
sublattice tells, without a new fit, what the description by it would cost.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from defectpool.lattice.description import defect_bits, displacement_bits, site_bits
from defectpool.lattice.geometry import Crystal, Floats, Ints
from defectpool.lattice.primitive import Lattice, hermite_normal_form, lattice_points

if TYPE_CHECKING:
    from defectpool.lattice.fit import Fit

PRIMES = (2, 3)


def sublattices(supercell: Ints) -> list[Ints]:
    """Sublattices of prime index that hold the given cell: integers [3, 3] each.

    Parameters
    ----------
    supercell
        Of the lattice; rows of the results are in units of the lattice's cell.
    """
    found = []
    for prime in PRIMES:
        for h in product(range(prime), repeat=3):
            leading = next((x for x in h if x), 0)
            if leading == 1 and not np.any(supercell @ np.array(h) % prime):
                found.append(_kernel(h, prime))
    return found


def _kernel(h: tuple[int, ...], prime: int) -> Ints:
    """Basis of the integer vectors whose product with h is a multiple of the prime."""
    axis = h.index(1)
    basis = np.eye(3, dtype=np.int64)
    basis[:, axis] -= np.array(h)
    basis[axis, axis] = prime
    return basis


def index_within(lattice: Lattice, denser: Lattice) -> Ints | None:
    """Integers with lattice = integers @ denser lattice, None if it does not lie within it."""
    ratio = lattice.cell @ np.linalg.inv(denser.cell)
    index = np.round(ratio).astype(np.int64)
    if np.abs(ratio - index).max() > 0.01 or denser.size <= lattice.size:
        return None
    # a long vector misses a whole multiple of a short one by little: sizes have to agree, too
    whole = round(abs(np.linalg.det(index))) * lattice.size == denser.size
    return index if whole else None


def estimated_bits(crystal: Crystal, fit: Fit, index: Ints, limit: float = np.inf) -> float:
    """Estimated description length if the sites of a fit were equivalent within a sublattice only.

    Each class of sites takes what most of its members hold (nothing, where most are vacant) and
    moves to the mean of their atoms. Displacements are left out if it is longer than the limit
    without them.
    """
    factor = round(abs(np.linalg.det(index)))
    members = fit.lattice.size // factor
    n_classes = len(fit.basis.numbers) * factor
    class_of_point = _classes(lattice_points(fit.lattice.supercell), index)
    basis_site, point = fit.seats
    atom_class = basis_site * factor + class_of_point[point]
    labels = crystal.labels[fit.seated]
    held, agreeing = _occupation(labels, crystal.n_species, atom_class, n_classes)
    is_site = held >= 0.5 * members
    in_sites = is_site[atom_class]
    n_sites = int(is_site.sum())
    volume = abs(float(np.linalg.det(fit.lattice.cell))) * factor
    n_species = crystal.n_species
    vacant = np.maximum(members - held, 0)[is_site].sum()
    exchanged = (held - agreeing)[is_site].sum()
    extra = fit.n_extra + (~in_sites).sum()
    bits = n_sites * site_bits(volume, n_species) + defect_bits(
        n_sites * members, vacant, exchanged, extra, volume * members, n_species
    )
    if bits > limit:
        return bits
    displacements = _without_means(fit.displacements[fit.seated], atom_class, n_classes)
    return bits + displacement_bits(displacements[in_sites])


def _classes(points: Ints, index: Ints) -> Ints:
    """Class of lattice points that differ by vectors of a sublattice, from 0, [m].

    A point is moved by these vectors into the box on the diagonal of their Hermite normal form;
    its place there is the class.
    """
    form = hermite_normal_form(index)
    rest, classes = points.copy(), np.zeros(len(points), dtype=np.int64)
    for axis in range(3):
        side = form[axis, axis]
        if side > 1 or axis < 2:
            rest -= (rest[:, axis] // side)[:, None] * form[axis]
        classes = classes * side + rest[:, axis] * (side > 1)
    return classes


def _occupation(
    labels: Ints, n_species: int, atom_class: Ints, n_classes: int
) -> tuple[Ints, Ints]:
    """Count of atoms in each class, and of those of its most frequent species, [n_classes]."""
    table = np.bincount(atom_class * n_species + labels, minlength=n_classes * n_species)
    table = table.reshape(n_classes, n_species)
    return table.sum(axis=1), table.max(axis=1)


def _without_means(displacements: Floats, atom_class: Ints, n_classes: int) -> Floats:
    """Displacements from the mean of their class."""
    count = np.maximum(np.bincount(atom_class, minlength=n_classes), 1)
    means = [np.bincount(atom_class, column, minlength=n_classes) for column in displacements.T]
    return displacements - (np.stack(means, axis=1) / count[:, None])[atom_class]
