"""Symbols, reduced formulas and names of defects, after pymatgen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import gcd

import numpy as np

_SYMBOLS = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se
Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy
Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf
Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
# Pauling's, 0 where there is none
_ELECTRONEGATIVITIES = """
0 2.2 0 0.98 1.57 2.04 2.55 3.04 3.44 3.98 0 0.93 1.31 1.61 1.9 2.19 2.58 3.16 0 0.82 1 1.36
1.54 1.63 1.66 1.55 1.83 1.88 1.91 1.9 1.65 1.81 2.01 2.18 2.55 2.96 3 0.82 0.95 1.22 1.33 1.6
2.16 1.9 2.2 2.28 2.2 1.93 1.69 1.78 1.96 2.05 2.1 2.66 2.6 0.79 0.89 1.1 1.12 1.13 1.14 1.13
1.17 1.2 1.2 1.1 1.22 1.23 1.24 1.25 1.1 1.27 1.3 1.5 2.36 1.9 2.2 2.2 2.28 2.54 2 1.62 2.33
2.02 2 2.2 2.2 0.7 0.9 1.1 1.3 1.5 1.38 1.36 1.28 1.3 1.3 1.3 1.3 1.3 1.3 1.3 1.3 1.3 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0
"""
SYMBOLS = tuple(_SYMBOLS.split())
ELECTRONEGATIVITIES = tuple(float(value) for value in _ELECTRONEGATIVITIES.split())


def symbol(number: int) -> str:
    """Chemical symbol of an atomic number, "X" for one that has none."""
    return SYMBOLS[number] if 0 < number < len(SYMBOLS) else "X"


def reduced_formula(numbers: Sequence[int]) -> str:
    """Reduced formula such as "MoSe2", the least electronegative element first."""
    species, counts = np.unique(np.asarray(numbers, dtype=np.int64), return_counts=True)
    common = reduce(gcd, counts.tolist(), 0)
    terms = sorted(
        (ELECTRONEGATIVITIES[z] if 0 < z < len(SYMBOLS) else 0.0, symbol(z), count // common)
        for z, count in zip(species.tolist(), counts.tolist(), strict=True)
    )
    return "".join(f"{name}{count if count > 1 else ''}" for _, name, count in terms)


def defect_name(number: int | None, site_number: int | None) -> str:
    """Name of a defect: v_Mo, S_Mo, or Li_i.

    Parameters
    ----------
    number
        Atomic number of the atom; None for a vacancy.
    site_number
        Atomic number of the host's site; None for an interstitial.
    """
    species = "v" if number is None else symbol(number)
    return f"{species}_{'i' if site_number is None else symbol(site_number)}"
