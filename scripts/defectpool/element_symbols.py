"""Chemical symbols of the elements that a campaign can use, without any import.

The networks know the elements by CGCNN's feature table, which covers hydrogen (1) to fermium (100).
"""

from difflib import get_close_matches

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm "
    "Bk Cf Es Fm"
)
ELEMENTS = tuple(SYMBOLS.split())
"""Symbols by atomic number, from 1 to 100; `ELEMENTS[0]` is hydrogen."""


def element(symbol: str) -> str:
    """Return the symbol of an element unchanged.

    Raises
    ------
    ValueError
        If it is not the symbol of an element from H to Fm, as they are written.
    """
    if symbol in ELEMENTS:
        return symbol
    near = get_close_matches(symbol.capitalize(), ELEMENTS, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{symbol!r} is not the symbol of an element from H to Fm{hint}")
