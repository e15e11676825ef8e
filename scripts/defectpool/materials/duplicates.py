"""Duplicate structures, under two ids or from two sources.

Two hosts are the same where formula, layer group and atoms in the primitive cell agree and
pymatgen's `StructureMatcher` maps one onto the other. Requiring the same layer group keeps apart a
high-symmetry phase and its distorted relatives, which are hosts of their own.
"""

from collections.abc import Sequence
from math import cbrt

import numpy as np
from ase import Atoms

LENGTHS = 0.05  # largest relative difference of in-plane lattice constants
ANGLES = 3.0  # degrees
DISPLACEMENT = 0.3  # Å, root mean square; C2DB's own measure of a duplicate
GAP = 5.0  # Å between a layer and its image, the same for all that are compared


def duplicates(hosts: Sequence[Atoms]) -> dict[int, int]:
    """Find repeated structures among hosts of one formula, layer group and primitive size.

    Parameters
    ----------
    hosts
        Slabs in the standard setting.

    Returns
    -------
    dict
        Index of each repetition -> index of the first host that it repeats.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    firsts: list[tuple[int, float, Structure]] = []
    found: dict[int, int] = {}
    for index, atoms in enumerate(hosts):
        thickness = float(np.ptp(atoms.positions[:, 2]))
        cell = atoms.cell.array.copy()
        cell[2] = 0.0, 0.0, thickness + GAP
        slab = Structure(
            Lattice(cell), atoms.numbers, atoms.positions, coords_are_cartesian=True
        ).get_primitive_structure(tolerance=0.1)
        size = cbrt(slab.volume / len(slab))
        matcher = StructureMatcher(
            ltol=LENGTHS,
            stol=DISPLACEMENT / size,
            angle_tol=ANGLES,
            primitive_cell=False,
            scale=False,
        )
        for first, height, other in firsts:
            if (
                abs(height - thickness) < 2 * DISPLACEMENT
                and abs(slab.volume / other.volume - 1) < 3 * LENGTHS
                and matcher.fit(slab, other)
            ):
                found[index] = first
                break
        else:
            firsts.append((index, thickness, slab))
    return found
