"""Found defects of a structure against the true ones: place, type and name of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.evaluation.site_defects import SiteDefect
    from defectpool.lattice import Defect
    from defectpool.structures.defect_labels import DefectLabel

# A defect is found on the right site if it is nearer to the true position than this (Å).
SAME_SITE = 1.0

# What is judged; a table has a column for each.
JUDGED = ("site", "type", "name")


@dataclass(frozen=True)
class Judgment:
    """How well the defects of a structure are found; 1 or 0 each, NaN where a method tells none.

    Attributes
    ----------
    site_correct
        Each true defect is less than 1 Å from one that is found; NaN where the position of one is
        unknown.
    type_correct, name_correct
        The types, or the names, of all that are found are those of the true ones.
    distance
        Å; mean over the true defects of the distance to the nearest that is found. NaN where
        nothing is found, or a position is unknown.
    """

    site_correct: float = nan
    type_correct: float = nan
    name_correct: float = nan
    distance: float = nan


def judgment(
    atoms: Atoms, true: Sequence[DefectLabel], found: Sequence[Defect] | Sequence[SiteDefect]
) -> Judgment:
    """Judgment of the defects that are found in a structure.

    Parameters
    ----------
    atoms
        The structure, for its cell.
    true, found
        Its defects, and those that a method found.
    """
    types = sorted(map(type_of, found)) == sorted(label.kind for label in true)
    names = sorted(one.name for one in found) == sorted(label.name for label in true)
    site = distance = nan
    if all(label.position for label in true):
        apart = [_nearest(atoms, label, found) for label in true]
        site = float(all(one < SAME_SITE for one in apart))
        distance = float(np.mean(apart)) if found and apart else nan
    return Judgment(site, float(types), float(names), distance)


def type_of(one: Defect | SiteDefect) -> str:
    """Type of a defect that is found; an adatom is an interstitial, as in the labels."""
    return "interstitial" if one.type == "adatom" else one.type


def _nearest(
    atoms: Atoms, label: DefectLabel, found: Sequence[Defect] | Sequence[SiteDefect]
) -> float:
    """Distance in Å of a true defect to the nearest that is found."""
    from ase.geometry import get_distances

    if not found:
        return inf
    positions = np.array([one.position for one in found])
    apart = get_distances(np.array([label.position]), positions, atoms.cell, atoms.pbc)[1]
    return float(apart.min())
