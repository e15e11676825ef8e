"""Labels of supercells, which folders, configs and tables share.

They stand apart from the config, whose keys reach a job one by one: what a label means is science,
and a change of it is a changed result.
"""

import re
from typing import Any

SUPERCELL = re.compile(r"[1-9]\d*x[1-9]\d*|-?\d+_-?\d+x-?\d+_-?\d+")


def supercell_label(value: Any) -> str:
    """Label of a supercell: 2 and [[2, 0], [0, 2]] are "2x2", [[2, 1], [-1, 1]] is "2_1x-1_1"."""
    label = value
    if isinstance(value, int) and not isinstance(value, bool):
        label = f"{value}x{value}" if abs(value) < 10**9 else value
    elif isinstance(value, (list, tuple)) and all(
        isinstance(row, (list, tuple)) and all(type(entry) is int for entry in row) for row in value
    ):
        label = "x".join("_".join(map(str, row)) for row in value)
    if not isinstance(label, str) or not SUPERCELL.fullmatch(label) or len(label) > 40:
        raise ValueError("is no supercell: write 2x2, 3x2 or a 2 by 2 matrix of whole numbers")
    (a, b), (c, d) = supercell_matrix(label)
    return f"{a}x{d}" if b == c == 0 and a > 0 and d > 0 else label


def supercell_matrix(label: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """In-plane matrix of a supercell label; its rows are the new a and b in units of the old."""
    first, second = label.split("x")
    if "_" in label:
        (a, b), (c, d) = (tuple(int(n) for n in row.split("_")) for row in (first, second))
        return (a, b), (c, d)
    return (int(first), 0), (0, int(second))


def cells(label: str) -> int:
    """Return the number of unit cells in a supercell; 0 if its rows are parallel."""
    (a, b), (c, d) = supercell_matrix(label)
    return abs(a * d - b * c)
