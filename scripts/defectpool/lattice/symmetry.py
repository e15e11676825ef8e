"""Symmetry groups of a host's primitive cell, by spglib."""

from __future__ import annotations

import numpy as np

from defectpool.lattice.geometry import Floats, Ints


def group_symbol(
    cell: Floats, scaled: Floats, numbers: Ints, pbc: np.ndarray, tolerance: float = 0.05
) -> str:
    """Symbol of the layer group (one axis not periodic) or of the space group; "" if none.

    Parameters
    ----------
    cell, scaled, numbers, pbc
        Primitive cell in Å [3, 3], fractional positions [b, 3], atomic numbers [b], periodic
        axes [3].
    tolerance
        In Å, at most 0.3: spglib was seen to crash at 1.1.

    Raises
    ------
    ValueError
        If the tolerance is larger.
    """
    if tolerance > 0.3:
        raise ValueError(f"a tolerance of {tolerance} Å is too large for spglib: use at most 0.3")
    import spglib

    structure = (cell.tolist(), scaled.tolist(), numbers.tolist())
    if pbc.sum() == 2:
        layer = spglib.get_layergroup(
            structure, aperiodic_dir=int(np.flatnonzero(~pbc)[0]), symprec=tolerance
        )
        return "" if layer is None else str(layer.international)
    dataset = spglib.get_symmetry_dataset(structure, symprec=tolerance)
    return "" if dataset is None else str(dataset.international)
