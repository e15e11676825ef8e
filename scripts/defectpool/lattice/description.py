"""Description length: how many bits a host and what deviates from it take to write down.

The shortest description wins (minimum description length; Rissanen, 1978), so a lattice that is
too dense pays for its defects and displacements, and one that is too sparse for its basis. All
lengths are told with the same resolution.
"""

from __future__ import annotations

import numpy as np

from defectpool.lattice.geometry import Floats

RESOLUTION = 0.05  # Å
DEFECT = 28.0  # bits on top of its place; a defect is rarer than a site


def site_bits(volume: float, n_species: int) -> float:
    """Bits for one site of the primitive cell: its species and its place."""
    return float(np.log2(max(n_species, 2)) + np.log2(max(volume, 1.0) / RESOLUTION**3))


def displacement_bits(displacements: Floats) -> float:
    """Bits for the displacements of all atoms, [n, 3] in Å.

    A logarithm and not a square: relaxed atoms around a defect go far, and few.
    """
    length = np.sqrt(np.einsum("ij,ij->i", displacements, displacements))
    return float(3 * np.log2(1 + length / (np.sqrt(3) * RESOLUTION)).sum())


def defect_bits(
    n_sites: int, n_vacant: int, n_exchanged: int, n_extra: int, volume: float, n_species: int
) -> float:
    """Bits for all defects: what, where, and that there is one."""
    place = DEFECT + np.log2(max(n_sites, 1))
    extra = DEFECT + site_bits(volume, n_species)
    species = np.log2(max(n_species, 2))
    return float(n_vacant * place + n_exchanged * (place + species) + n_extra * extra)
