"""Viewer page: structures in 3D with the defect and the site that each network picked.

The page is one file that needs no network (`page_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.reporting.page_parts import as_json, filled
from defectpool.runtime.hashing import digest

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.structures.structure_files import DefectStructure

PAGE = "viewer.html"

METHODS = {
    "argmax_count": "maximum of most features",
    "deviation": "largest deviation from its element",
    "z_score": "largest z-score within its element",
    "site_logit": "largest logit to belong to a defect",
    "gradient": "largest contribution to the logit (gradient × feature)",
}


def choose(located: pd.DataFrame, each: int = 2) -> list[str]:
    """Structures to show: correct and wrong picks in turn, sampled by a hash of the structure.

    Parameters
    ----------
    located
        Rows of `localization.locate`, with pooling and convolution. The picks of max pooling
        decide, or those of the first run if there is none.
    each
        How many to choose.

    Returns
    -------
    list of str
        Ids of defective structures; first one with a correct pick, if there is any.
    """
    preferred = located[located["method"] == "argmax_count"]
    own = (preferred if len(preferred) else located).drop_duplicates("structure")
    correct, wrong = (
        sorted(own.loc[rows, "structure"], key=lambda name: digest("show", name))
        for rows in (own["correct"] >= 0.5, own["correct"] < 0.5)
    )
    chosen: list[str] = []
    while len(chosen) < each and (correct or wrong):
        for group in (correct, wrong):
            if group and len(chosen) < each:
                chosen.append(group.pop(0))
    return chosen


def pairs(
    structures: Iterable[DefectStructure], chosen: Sequence[str]
) -> dict[str, tuple[DefectStructure, DefectStructure]]:
    """Pristine and defective supercell of each chosen structure, by its id."""
    pristine: dict[str, DefectStructure] = {}
    defective: dict[str, DefectStructure] = {}
    shown = set()
    for structure in structures:
        if structure.structure in chosen:
            defective[structure.pair] = structure
            shown.add(structure.pair)
        if structure.label == 0:
            pristine[structure.pair] = structure
    return {defective[pair].structure: (pristine[pair], defective[pair]) for pair in sorted(shown)}


def example(
    pristine: DefectStructure, defective: DefectStructure, picks: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Pair of structures with the defect and the picked sites, as the page needs it.

    Parameters
    ----------
    pristine, defective
        The pair.
    picks
        Rows of `localization.locate` for the defective one, with pooling and convolution.
    """
    atoms = defective.atoms
    cell, z = atoms.cell.array, float(pristine.atoms.positions[:, 2].mean())
    symbols = sorted({*pristine.atoms.symbols, *atoms.symbols})
    return {
        "group": f"{defective.defect} {defective.supercell}",
        "title": f"{defective.defect} {defective.name} in {defective.formula} "
        f"({defective.host}), {defective.supercell}",
        "caption": f"defective: {_words(defective)}",
        "pristine": _atoms(pristine.atoms),
        "defective": _atoms(atoms),
        "styles": {symbol: style(symbol) for symbol in symbols},
        "cell": [_rounded(cell[0, :2]), _rounded(cell[1, :2]), round(z, 3)],
        "defect": _rounded(
            atoms.positions[defective.defect_site]
            if defective.defect_site >= 0
            else defective.position
        ),
        "picks": [
            {
                "network": _network(row),
                "score": row["method"],
                "method": METHODS[row["method"]],
                "probability": f"{row['probability']:.3f}",
                "site": _site(defective, row),
                "distance": f"{row['distance']:.2f}",
                "positions": [
                    _rounded(atoms.positions[int(site)]) for site in str(row["sites"]).split()
                ],
            }
            for row in picks
        ],
    }


def page(examples: Sequence[Mapping[str, Any]]) -> str:
    """Return the whole page as HTML."""
    return filled(PAGE, EXAMPLES=as_json(examples))


def _network(row: Mapping[str, Any]) -> str:
    pooling, convolution = str(row["pooling"]), str(row["convolution"])
    return pooling if convolution == "gated" else f"{pooling}, {convolution}"


def _site(structure: DefectStructure, row: Mapping[str, Any]) -> str:
    symbol = structure.atoms.symbols[int(str(row["sites"]).split()[0])]
    what = "the defect" if row["distance"] < 1e-6 else ("a neighbor" if row["near"] == 1 else "")
    alike = f", one of {row['tied']} alike" if row["tied"] > 1 else ""
    return f"{symbol}{', ' + what if what else ''}{alike}"


def _words(structure: DefectStructure) -> str:
    if structure.defect in ("complex", "dense"):
        names = structure.name.replace("+", ", ") if structure.defect == "complex" else ""
        return f"{structure.count} defects{names and ': '}{names}"
    if structure.defect == "vacancy":
        return f"{structure.replaced} is missing"
    if structure.defect == "interstitial":
        return f"{structure.species} is added ({structure.site_type})"
    return f"{structure.species} in place of {structure.replaced}"


def _atoms(atoms: Atoms) -> list[list[str | float]]:
    return [
        [symbol, *_rounded(position)]
        for symbol, position in zip(atoms.symbols, atoms.positions, strict=True)
    ]


def style(symbol: str) -> dict[str, Any]:
    """Color and drawn radius in Å of an element."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * part) for part in jmol_colors[number])
    return {
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "radius": round(0.42 * float(covalent_radii[number]), 3),
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in np.asarray(values)]
