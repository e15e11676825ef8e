"""Layer symmetry of a slab: operations, equivalent sites and site symmetries.

A slab has the symmetry of one of the 80 layer groups, not of a space group: there is no translation
along c, so the vacuum must not count (spglib; Fu, Kuisma, Larsen, Shinohara, Togo and Thygesen,
"Layer group classification of two-dimensional materials", arXiv:2401.16705).

Relaxed structures are symmetric within a tolerance only. The operations returned here are made an
exact group, and the layer idealized, so that nothing derived from them depends on the order of the
atoms or on the choice of origin.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree


class NoSymmetry(ValueError):  # noqa: N818 - recorded in a table, not a failure
    """The symmetry could not be determined, for instance because atoms overlap."""


@dataclass(frozen=True)
class LayerSymmetry:
    """Symmetry operations of a slab, and the slab with exactly this symmetry.

    Attributes
    ----------
    number
        Number of the layer group, 1 to 80.
    symbol
        Its Hermann-Mauguin symbol.
    rotations, translations
        Operations in fractional coordinates, x' = R x + t; [operations, 3, 3], [operations, 3].
        They form a group to rounding.
    orbit
        For each site the first site that is equivalent to it, [sites].
    ideal
        The slab with exactly this symmetry; its sites are within the tolerance of the real ones.
    """

    number: int
    symbol: str
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    orbit: NDArray[np.int64]
    ideal: Atoms


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
    scaled = atoms.get_scaled_positions(wrap=False)
    try:
        found = spglib.get_symmetry_layerdataset(
            (atoms.cell.array, scaled, atoms.numbers), aperiodic_dir=2, symprec=symprec
        )
    except Exception as error:  # spglib's own errors changed their types between releases
        raise NoSymmetry(str(error)) from error
    if found is None:
        raise NoSymmetry(f"spglib finds no layer group with a tolerance of {symprec} Å")
    rotations = found.rotations
    moved = np.einsum("oij,nj->oni", rotations, scaled)
    image, target = _images_of_sites(atoms, scaled, moved + found.translations[:, None], symprec)
    # The mean over the sites of x(image) - R x: about the center of mass these are fractions k / n
    # of lattice vectors, which multiply as the operations do.
    translations = (target - moved).mean(axis=1)
    inverses = np.linalg.inv(rotations)
    ideal = np.einsum("oij,onj->oni", inverses, target - translations[:, None]).mean(axis=0)
    cell = _ideal_cell(atoms.cell.array, rotations)
    return LayerSymmetry(
        number=found.number,
        symbol=found.international.strip(),
        rotations=rotations,
        translations=translations,
        orbit=image.min(axis=0),
        ideal=Atoms(numbers=atoms.numbers, cell=cell, scaled_positions=ideal, pbc=atoms.pbc),
    )


def _images_of_sites(
    atoms: Atoms, scaled: NDArray[np.float64], moved: NDArray[np.float64], symprec: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the site that each site is moved to [operations, sites], and its nearest image."""
    lengths = np.append(atoms.cell.lengths(), 0)  # the fourth coordinate keeps species apart
    species = np.broadcast_to(1e3 * atoms.numbers, moved.shape[:2])[..., None]

    def boxed(points: NDArray[np.float64], species: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = points - np.floor(points)
        inside[inside >= 1] = 0
        return np.concatenate([inside * lengths[:3], species], axis=-1)

    tree = cKDTree(boxed(scaled, species[0]), boxsize=lengths)
    image = tree.query(boxed(moved, species))[1]
    difference = scaled[image] - moved
    shift = np.round(difference)
    distance = np.linalg.norm((difference - shift) @ atoms.cell.array, axis=-1)
    if distance.max() > 4 * symprec:
        raise NoSymmetry(f"an operation moves a site {distance.max():.3f} Å away from any other")
    shift[..., 2] = 0
    return image, scaled[image] - shift


def _ideal_cell(cell: NDArray[np.float64], rotations: NDArray[np.int32]) -> NDArray[np.float64]:
    """Cell whose metric is the mean over the operations, turned as little as possible."""
    metric = cell @ cell.T
    mean = (rotations.transpose(0, 2, 1) @ metric @ rotations).mean(axis=0)
    return _root(mean) @ np.linalg.inv(_root(metric)) @ cell


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def images(symmetry: LayerSymmetry, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Images of points [..., 3] (fractional) under all operations, [..., operations, 3]."""
    turned = np.einsum("oij,...j->...oi", symmetry.rotations, points)
    return np.asarray(turned + symmetry.translations)


def in_plane_shift(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract whole in-plane translations from fractional differences [..., 3]."""
    shifted = difference.copy()
    shifted[..., :2] -= np.round(shifted[..., :2])
    return shifted


def site_symmetry(symmetry: LayerSymmetry, site: int, tolerance: float = 0.01) -> str:
    """Point group (Hermann-Mauguin) of the operations that leave a site in place.

    Parameters
    ----------
    symmetry
        Symmetry of the slab.
    site
        Index of the site.
    tolerance
        In Å; the idealized slab needs no more than rounding.
    """
    point = symmetry.ideal.get_scaled_positions(wrap=False)[site]
    moved = in_plane_shift(images(symmetry, point) - point) @ symmetry.ideal.cell.array
    return point_group(symmetry.rotations[np.linalg.norm(moved, axis=1) <= tolerance])


def point_group(rotations: NDArray[np.int32]) -> str:
    """Hermann-Mauguin symbol of a group of rotations in fractional coordinates, [n, 3, 3]."""
    return _point_group(np.ascontiguousarray(rotations, dtype=np.int32).tobytes())


@lru_cache(maxsize=4096)
def _point_group(rotations: bytes) -> str:
    operations = np.frombuffer(rotations, dtype=np.int32).reshape(-1, 3, 3)
    found = spglib.get_pointgroup(operations)
    assert found is not None, "the operations that fix a site of an exact group are a group"
    return str(found[0]).strip()
