"""Layer symmetry of a slab: which sites are equivalent, and the symmetry that each one keeps.

A slab has the symmetry of one of the 80 layer groups, not of a space group: there is no translation
along c, so the vacuum must not take part (spglib, Fu, Togo et al., arXiv:2402.05459;
A. Togo and I. Tanaka, arXiv:1808.01590).
"""

from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray


class NoSymmetry(ValueError):  # noqa: N818 - a verdict on a structure, recorded, not a failure
    """Symmetry could not be determined, which spglib says of overlapping atoms for instance."""


@dataclass(frozen=True)
class LayerSymmetry:
    """Symmetry operations of a slab.

    Attributes
    ----------
    number
        Number of the layer group, 1 to 80.
    symbol
        Its Hermann-Mauguin symbol.
    rotations, translations
        Operations in fractional coordinates, x' = R x + t; [operations, 3, 3], [operations, 3].
    orbit
        For each site the first site that is equivalent to it, [sites].
    """

    number: int
    symbol: str
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    orbit: NDArray[np.int32]


def layer_symmetry(atoms: Atoms, symprec: float) -> LayerSymmetry:
    """Find the layer group of a slab whose vacuum is along c.

    Parameters
    ----------
    atoms
        The slab.
    symprec
        Tolerance in Å.

    Raises
    ------
    NoSymmetry
        If spglib finds none.
    """
    cell = (atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.numbers)
    try:
        found = spglib.get_symmetry_layerdataset(cell, aperiodic_dir=2, symprec=symprec)
    except Exception as error:  # spglib's own errors changed their types between releases
        raise NoSymmetry(str(error)) from error
    if found is None:
        raise NoSymmetry(f"spglib finds no layer group with a tolerance of {symprec} Å")
    return LayerSymmetry(
        number=found.number,
        symbol=found.international.strip(),
        rotations=found.rotations,
        translations=found.translations,
        orbit=found.equivalent_atoms,
    )


def images(symmetry: LayerSymmetry, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Images of a point [3] (fractional) under all operations, [operations, 3]."""
    return symmetry.rotations @ point + symmetry.translations


def in_plane_shift(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take whole in-plane translations off fractional differences [..., 3]; c is not periodic."""
    shifted = difference.copy()
    shifted[..., :2] -= np.round(shifted[..., :2])
    return shifted


def stabilizer(
    symmetry: LayerSymmetry,
    point: NDArray[np.float64],
    cell: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.bool_]:
    """Which operations leave a point (fractional, [3]) where it is, within a tolerance in Å."""
    moved = in_plane_shift(images(symmetry, point) - point) @ cell
    return np.linalg.norm(moved, axis=1) <= tolerance


def site_symmetry(
    symmetry: LayerSymmetry,
    point: NDArray[np.float64],
    cell: NDArray[np.float64],
    tolerance: float,
) -> str:
    """Point group (Hermann-Mauguin) of the operations that leave a point where it is."""
    rotations = symmetry.rotations[stabilizer(symmetry, point, cell, tolerance)]
    rotations = np.unique(rotations, axis=0)
    try:
        found = spglib.get_pointgroup(rotations)
    except Exception:  # operations that are no group: the tolerance is too wide for this point
        return "1"
    return str(found[0]).strip() if found else "1"
