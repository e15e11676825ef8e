"""Defects of a structure from the classes that networks give its sites.

The networks say which atoms belong to a defect. Where an atom is missing, and which, is read off
the peers of the sites around it, the pristine sites of their elements: what stands around the peer
that fits best, and not around the site, is missing there. A foreign atom at such a place is an
antisite or a substitution of what is missing, one at no such place an interstitial, and a place
without an atom beside neighbors of a vacancy is the vacancy. An atom that is where its peers expect
it is no defect after all, but was perhaps flagged because of one beside it, and is treated as a
neighbor of a vacancy. The lattice of the host is not needed.

Networks with a class for every site call a structure defective if this list is not empty. Peers
have to confirm a defect, so sites with a low probability can be asked, too. Where sites and their
peers differ in more than a defect, one site has to be more likely defective than not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defectpool.evaluation.surroundings import SAME_PLACE, VACANCY, Place, Surroundings
from defectpool.lattice.naming import defect_name, symbol
from defectpool.structures.defect_labels import DEFECT_TYPES

if TYPE_CHECKING:
    from ase import Atoms

# Sites that belong to a defect with a probability above the first are looked at. Where peers cannot
# confirm a defect, the probability has to be above the second.
SUSPECT = 0.05
UNCONFIRMED = 0.5

ANTISITE = DEFECT_TYPES.index("antisite") + 1

# A foreign atom stands at most so far from the place of the atom that it replaces (Å).
OFF_PLACE = 1.5


@dataclass(frozen=True)
class SiteDefect:
    """Defect that networks see.

    Attributes
    ----------
    type
        vacancy, antisite, substitution or interstitial.
    name
        As pymatgen writes it, v_Mo, S_Mo, Li_i; where no neighbor has a peer, the element of the
        atom alone, S, or v.
    position
        Å, [3]; its place, as neighbors and their peers tell, from which its atom may have moved; of
        an interstitial, and where no neighbor has a peer, that of the atom. Of a vacancy v that of
        the site that is surest to be beside it.
    atoms
        Rows of its atom, or of the sites that lack the vacancy's.
    probability
        Largest probability of one of these atoms to belong to a defect.
    """

    type: str
    name: str
    position: NDArray[np.float64]
    atoms: tuple[int, ...]
    probability: float


def site_defects(atoms: Atoms, probabilities: NDArray[np.float64]) -> tuple[SiteDefect, ...]:
    """Defects of a structure.

    Parameters
    ----------
    atoms
        The structure, with three cell vectors.
    probabilities
        Probability of each class of each site (`GraphSet.site_label`), [atoms, 5].

    Returns
    -------
    tuple of SiteDefect
        Foreign atoms by their rows, then vacancies.
    """
    belongs = 1 - probabilities[:, 0]
    if belongs.max(initial=0.0) <= SUSPECT:
        return ()
    classes = np.where(belongs > SUSPECT, probabilities[:, 1:].argmax(1) + 1, 0)
    around = _with_atoms_out_of_place(Surroundings(atoms, classes))
    # a vacancy has a neighbor that the networks take for one
    beside = frozenset(np.flatnonzero(around.classes == VACANCY).tolist())
    around, places, names = _foreign_atoms(around)
    found = [
        SiteDefect(*named, around.near_atom(places[row], row), (row,), float(belongs[row]))
        for row, named in names.items()
        if _known(places[row]) or belongs[row] > UNCONFIRMED
    ]
    held = [place for place in places.values() if place]
    for place in _lacking(around, np.flatnonzero(around.classes == VACANCY).tolist(), held):
        sites = tuple(sorted(place.sites))
        probability = float(belongs[list(sites)].max())
        there = around.atom_at(place)
        if there is None or places.get(there):  # the atom there belongs to another place
            if beside & place.sites:
                name = defect_name(None, place.number)
                found.append(SiteDefect("vacancy", name, place.position, sites, probability))
        elif there not in places and (named := _foreign(around, there, place)):
            where = around.near_atom(place, there)
            found.append(SiteDefect(*named, where, (there,), probability))
    if not found:
        return _unconfirmed_vacancy(around, belongs, beside)
    # what peers confirm where nothing is alike, as in an alloy, is no evidence
    surest = max(one.probability for one in found)
    return tuple(found) if around.ordered or surest > UNCONFIRMED else ()


def _known(place: Place | None) -> bool:
    """Whether peers tell what an atom replaces, or that it replaces nothing."""
    return place is None or place.number > 0


def _unconfirmed_vacancy(
    around: Surroundings, belongs: NDArray[np.float64], beside: frozenset[int]
) -> tuple[SiteDefect, ...]:
    """Vacancy beside sites without peers, as in a single cell, that are taken for neighbors."""
    alone = (row for row in sorted(beside) if belongs[row] > UNCONFIRMED)
    sites = tuple(row for row in alone if around.missing(row) is None)
    if not sites:
        return ()
    surest = max(sites, key=lambda row: belongs[row])
    position = np.asarray(around.atoms.positions[surest])
    return (SiteDefect("vacancy", "v", position, sites, float(belongs[surest])),)


def _with_atoms_out_of_place(around: Surroundings) -> Surroundings:
    """Surroundings, in which an atom taken for a neighbor of a vacancy may be the antisite itself.

    It is if no peer is like it, and if the sites around it lack another element where it is.
    """
    atoms, beside = around.atoms, np.flatnonzero(around.classes == VACANCY).tolist()
    rows = [row for row in beside if around.missing(row) is None]
    if not rows:
        return around
    foreign = around.classes.copy()
    foreign[rows] = ANTISITE
    around = Surroundings(atoms, foreign)
    for row in rows:
        place = around.place(atoms.positions[row], OFF_PLACE)
        if place is None or place.number in (0, int(atoms.numbers[row])):
            foreign[row] = VACANCY
    return Surroundings(atoms, foreign)


def _foreign_atoms(
    around: Surroundings,
) -> tuple[Surroundings, dict[int, Place | None], dict[int, tuple[str, str]]]:
    """Surroundings, and by their rows the places of foreign atoms, and their types and names.

    An atom that its peers expect where it is becomes a neighbor of a vacancy: it may have been
    flagged because of an antisite beside it. Of several at one place only the nearest is expected.
    """
    atoms = around.atoms
    while True:
        places = {
            row: around.place(atoms.positions[row], OFF_PLACE)
            for row in np.flatnonzero(around.classes > VACANCY).tolist()
        }
        told = {row: _foreign(around, row, place) for row, place in places.items()}
        names = {row: named for row, named in told.items() if named}
        if len(names) == len(told):
            return around, places, names
        expected = {row: place for row, place in places.items() if place and row not in names}
        classes = around.classes.copy()
        classes[_nearest_of_each_place(around, expected)] = VACANCY
        around = Surroundings(atoms, classes)


def _nearest_of_each_place(around: Surroundings, places: Mapping[int, Place]) -> list[int]:
    """Rows of the atoms to which no other one with the same place is nearer."""
    positions = around.atoms.positions

    def apart(row: int) -> float:
        return float(np.linalg.norm(around.near_atom(places[row], row) - positions[row]))

    chosen: list[int] = []
    for row in sorted(places, key=lambda row: (apart(row), row)):
        others = [places[one] for one in chosen]
        if not around.within(others, places[row].position, SAME_PLACE):
            chosen.append(row)
    return chosen


def _foreign(around: Surroundings, row: int, place: Place | None) -> tuple[str, str] | None:
    """Type and name of a foreign atom; None for an atom that its peers expect there."""
    number = int(around.numbers[row])
    if place is None:
        return "interstitial", defect_name(number, None)
    if place.number == number:
        return None
    if not place.number:
        return DEFECT_TYPES[around.classes[row] - 1], symbol(number)
    kind = "antisite" if around.peers[number] else "substitution"
    return kind, defect_name(number, place.number)


def _lacking(around: Surroundings, sites: Sequence[int], held: Sequence[Place]) -> Iterator[Place]:
    """Yield the fewest places, but those held, that explain what sites lack; surest first.

    A site is explained by what is missing nearest to it.
    """
    lacking: list[Place] = []
    for site in sites:
        places = around.missing(site) or []
        for one in held:
            near = around.within(places, one.position, SAME_PLACE)
            places = [place for place in places if place not in near]
        lacking += around.nearest(places, site)
    left = {site for place in lacking for site in place.sites}
    distinct, told = around.distinct(lacking), list(held)
    while left:
        best = max(distinct, key=lambda place: len(place.sites & left))
        left -= best.sites
        sure = around.place(best.position, SAME_PLACE)
        if sure and sure.number and not around.within(told, sure.position, SAME_PLACE):
            told.append(sure)
            yield sure
