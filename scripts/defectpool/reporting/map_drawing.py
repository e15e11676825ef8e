"""Structures of the map's page: atoms colored by the score of their site, true and found defects.

`drawing` gathers what is drawn in 3D; `picture` draws the same from above as SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.reporting.viewer import style

if TYPE_CHECKING:
    from defectpool.lattice import Finding
    from defectpool.structures.structure_files import DefectStructure

# From pale, where nothing is, to dark; lightness falls all the way, for the color-blind and print.
STEPS = ("#dfe3e8", "#f3d724", "#35b779", "#31688e", "#440154")
TRUE, FOUND = "#D55E00", "#000000"  # marks: vermilion of Okabe and Ito, black
MARGIN = 1.6  # Å around a picture


@dataclass(frozen=True)
class Example:
    """Structure to draw.

    Attributes
    ----------
    structure
        The structure.
    scores
        Score of each atom, 0 to 1, [atoms].
    finding
        What the lattice tells of it.
    title
        What it is.
    said
        Method, what it said, and whether that is right, for each method.
    """

    structure: DefectStructure
    scores: NDArray[np.float64]
    finding: Finding
    title: str
    said: Sequence[tuple[str, str, bool]]


def scaled(scores: NDArray[np.float64], logits: bool) -> NDArray[np.float64]:
    """Scores of sites from 0 to 1: logits become probabilities, others are stretched."""
    if logits:
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        return probabilities
    return (scores - scores.min()) / (np.ptp(scores) or 1.0)


def color_of(score: float) -> str:
    """Color of a score from 0 to 1, between the steps."""
    place = min(max(score, 0.0), 1.0) * (len(STEPS) - 1)
    first = min(int(place), len(STEPS) - 2)
    ends = [[int(step[i : i + 2], 16) for i in (1, 3, 5)] for step in STEPS[first : first + 2]]
    share = place - first
    mixed = [round((1 - share) * low + share * high) for low, high in zip(*ends, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def drawing(example: Example) -> dict[str, Any]:
    """Structure as the page draws it, as plain data.

    Returns
    -------
    dict
        title, said; atoms (symbol, x, y, z in Å), scores, colors; styles by element; cell
        (a, b, and the height of its outline); true and found defects (name, position).
    """
    one = example.structure
    atoms = one.atoms
    true = [
        (label.name, atoms.positions[label.atom] if label.atom is not None else label.position)
        for label in one.defects
    ]
    found = [(d.name, d.position) for d in example.finding.defects]
    places = _beside(one, [place for _, place in found], [place for _, place in true])
    cell, middle = atoms.cell.array, float(atoms.positions[:, 2].mean())
    return {
        "title": example.title,
        "said": [list(row) for row in example.said],
        "atoms": [[s, *_rounded(p)] for s, p in zip(atoms.symbols, atoms.positions, strict=True)],
        "scores": [round(float(score), 3) for score in example.scores],
        "colors": [color_of(float(score)) for score in example.scores],
        "styles": {symbol: style(symbol) for symbol in sorted(set(atoms.symbols))},
        "cell": [_rounded(cell[0, :2]), _rounded(cell[1, :2]), round(middle, 3)],
        "true": [[name, *_rounded(place)] for name, place in true],
        "found": [[name, *_rounded(place)] for (name, _), place in zip(found, places, strict=True)],
    }


def _beside(one: DefectStructure, places: Sequence[Any], true: Sequence[Any]) -> list[Any]:
    """Positions of found defects, each in the image that is nearest to a true one."""
    from ase.geometry import get_distances

    if not places or not true:
        return list(places)
    cell, periodic = one.atoms.cell, one.atoms.pbc
    vectors, apart = get_distances(np.array(true), np.array(places), cell=cell, pbc=periodic)
    nearest = apart.argmin(axis=0)
    return [np.asarray(true[i]) + vectors[i, j] for j, i in enumerate(nearest)]


def picture(drawn: Mapping[str, Any]) -> str:
    """SVG of a drawing from above: the highest atoms are in front, y points up."""
    (ax, ay), (bx, by), _ = drawn["cell"]
    corners = [(0.0, 0.0), (ax, ay), (ax + bx, ay + by), (bx, by), (0.0, 0.0)]
    spots = [*corners, *((x, y) for _, x, y, _ in drawn["atoms"])]
    low, high = np.min(spots, axis=0) - MARGIN, np.max(spots, axis=0) + MARGIN
    width, height = high - low
    parts = [
        f'<line x1="{_n(a[0])}" y1="{_n(-a[1])}" x2="{_n(b[0])}" y2="{_n(-b[1])}" '
        'stroke="#888" stroke-width="0.12"/>'
        for a, b in pairwise(corners)
    ]
    for i in sorted(range(len(drawn["atoms"])), key=lambda i: drawn["atoms"][i][3]):
        symbol, x, y, _ = drawn["atoms"][i]
        radius = 1.5 * drawn["styles"][symbol]["radius"]
        parts.append(
            f'<circle cx="{_n(x)}" cy="{_n(-y)}" r="{_n(radius)}" fill="{drawn["colors"][i]}" '
            f'stroke="#444" stroke-width="0.06"><title>{symbol}, score '
            f"{drawn['scores'][i]:.2f}</title></circle>"
        )
    for name, x, y, _ in drawn["true"]:
        parts.append(
            f'<circle class="true" cx="{_n(x)}" cy="{_n(-y)}" r="1.5" fill="none" '
            f'stroke="{TRUE}" stroke-width="0.42"><title>{escape(name)} is here</title></circle>'
        )
    for name, x, y, _ in drawn["found"]:
        parts.append(
            f'<rect class="found" x="{_n(x - 2)}" y="{_n(-y - 2)}" width="4" height="4" '
            f'fill="none" stroke="{FOUND}" stroke-width="0.3">'
            f"<title>the lattice: {escape(name)}</title></rect>"
        )
    box = f"{_n(low[0])} {_n(-high[1])} {_n(width)} {_n(height)}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{escape(drawn["title"])}, from above">'
        f"{''.join(parts)}</svg>"
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in np.asarray(values)]
