"""Defects of a structure from the classes that networks give its sites.

The networks say which atoms belong to a defect. Where an atom is missing, and which, is read off
the peers of the sites around it, the pristine sites of their elements: what stands around the peer
that fits best, and not around the site, is missing there. A foreign atom at such a place is an
antisite or a substitution of what is missing, one at no such place an interstitial, and a place
without an atom beside neighbors of a vacancy is the vacancy. An atom that is where its peers expect
it is no defect after all, but was perhaps flagged because of one beside it, and is treated as a
neighbor of a vacancy. The lattice of the host is not needed.

Networks with a class for every site call a structure defective if this list is not empty. Peers
have to confirm a defect, so sites with a low probability can be asked, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from defectpool.lattice.geometry import PeriodicTree, reduced_cell, shortest
from defectpool.lattice.naming import defect_name, symbol
from defectpool.structures.defect_labels import DEFECT_TYPES, FIRST_SHELL

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = DEFECT_TYPES.index("vacancy") + 1

# Sites that belong to a defect with a probability above the first are looked at. Where no site has
# a peer that could confirm a defect, the probability has to be above the second.
SUSPECT = 0.05
UNCONFIRMED = 0.5

# Two atoms, seen from a site and from its peer, are on the same place if nearer than this (Å).
SAME_PLACE = 1.0

# A foreign atom stands at most so far from the place of the atom that it replaces (Å).
OFF_PLACE = 1.5

# Surroundings that are compared, in units of the longest bond between nearest neighbors, which is
# sought up to so many Å.
REACH = 2.0
LONGEST_BOND = 5.0

# Peers that a site is compared with.
MOST_PEERS = 96

# Sites around a place that are asked what they lack, and the share of them that has to lack it.
ASKED = 6
SHARE = 1 / 3

# Neighbors of a vacancy count as peers that differ in so many more atoms: two vacancies of one kind
# have neighbors that lack the same.
BESIDE = 2.5

# Å; a site is its own neighbor at less.
ITSELF = 1e-6


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


@dataclass(frozen=True, eq=False)
class Place:
    """Place where sites lack a neighbor that their peers have.

    Attributes
    ----------
    position
        Å, [3].
    number
        Atomic number of what is missing.
    sites
        Rows of the sites that lack it.
    """

    position: NDArray[np.float64]
    number: int
    sites: frozenset[int]


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
    # a vacancy has a neighbor that the networks take for one
    beside = frozenset(np.flatnonzero(classes == VACANCY).tolist())
    around, places, names = _foreign_atoms(atoms, classes)
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
    return tuple(found) or _unconfirmed_vacancy(around, belongs, beside)


@dataclass(frozen=True, eq=False)
class Neighborhoods:
    """Neighbors of some sites, one site after the other.

    Attributes
    ----------
    rows, first
        The sites, [sites], and where their neighbors begin.
    owner, numbers, vectors
        Site, as an index into `rows`, element (0: foreign) and vector of each neighbor.
    inside
        Whether a neighbor counts as missing.
    """

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    owner: NDArray[np.int64]
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float64]
    inside: NDArray[np.bool_]


class Surroundings:
    """Neighbors of each site and of its peers, a site of the same element that is not foreign.

    Parameters
    ----------
    atoms
        The structure.
    classes
        Class of each site, [atoms].
    """

    def __init__(self, atoms: Atoms, classes: NDArray[np.int64]) -> None:
        self.atoms, self.classes, self.numbers = atoms, classes, atoms.numbers
        self.radius = REACH * _longest_bond(atoms, classes == 0)
        cell, reach = atoms.cell.array, self.radius + SAME_PLACE
        self.tree = PeriodicTree(atoms.positions, cell, atoms.pbc, reach)
        self.reduced, _ = reduced_cell(cell, atoms.pbc)
        self._missing: dict[int, list[Place] | None] = {}
        self._of_peers: dict[int, Neighborhoods] = {}
        self._neighbors: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def place(self, point: NDArray[np.float64], reach: float) -> Place | None:
        """Place near a point, if enough of the sites around it lack something there.

        Where none of them has a peer, what is missing is not known, and its number 0.
        """
        rows, vectors = self.tree.around(point)
        distances = np.linalg.norm(vectors, axis=1)
        order = np.argsort(distances, kind="stable")
        order = order[(distances[order] > ITSELF) & (self.classes[rows[order]] <= VACANCY)]
        near = dict.fromkeys(rows[order[:ASKED]].tolist())  # an image counts once
        missing = [self.missing(site) for site in near]
        asked = [lacking for lacking in missing if lacking is not None]
        if not asked:
            return Place(point, 0, frozenset())
        places = self.within([one for lacking in asked for one in lacking], point, reach)
        best = max(self.distinct(places), key=lambda one: len(one.sites), default=None)
        return best if best and len(best.sites) >= SHARE * len(asked) else None

    def missing(self, site: int) -> list[Place] | None:
        """Places where a site has no neighbor, and the peer that fits best has one (0: foreign).

        A peer with less than half of the site's neighbors is none; without any the answer is None.
        """
        if site not in self._missing:
            self._missing[site] = self._find_missing(site)
        return self._missing[site]

    def atom_at(self, place: Place) -> int | None:
        """Row of the atom at a place; None if there is none."""
        distances = np.linalg.norm(self.shortest(self.atoms.positions - place.position), axis=1)
        row = int(distances.argmin())
        return row if distances[row] <= SAME_PLACE else None

    def shortest(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shortest periodic images of vectors in Å, [n, 3]; exact for short ones."""
        return shortest(vectors, self.reduced, self.atoms.pbc)

    def within(
        self, places: Sequence[Place], point: NDArray[np.float64], reach: float
    ) -> list[Place]:
        """Return the places at most so far from a point."""
        vectors = np.array([place.position for place in places]).reshape(-1, 3) - point
        near = np.linalg.norm(self.shortest(vectors), axis=1) <= reach
        return [place for place, chosen in zip(places, near, strict=True) if chosen]

    def distinct(self, places: Sequence[Place]) -> list[Place]:
        """Return each place joined with those that are the same, every such group once."""
        if not places:
            return []
        positions = np.array([place.position for place in places])
        tree = PeriodicTree(positions, self.atoms.cell.array, self.atoms.pbc, SAME_PLACE)
        near = (tuple(sorted(set(tree.around(point)[0].tolist()))) for point in positions)
        return [self.joined([places[row] for row in group]) for group in dict.fromkeys(near)]

    def near_atom(self, place: Place | None, row: int) -> NDArray[np.float64]:
        """Position of the image of a place that is nearest to an atom, its own without a place."""
        position = np.asarray(self.atoms.positions[row])
        if place is None:
            return position
        return position + self.shortest(place.position[None] - position)[0]

    def nearest(self, places: Sequence[Place], site: int) -> list[Place]:
        """Return the places in the first shell around a site."""
        vectors = [place.position - self.atoms.positions[site] for place in places]
        distances = np.linalg.norm(np.array(vectors).reshape(-1, 3), axis=1)
        first = distances <= FIRST_SHELL * distances.min(initial=np.inf)
        return [place for place, chosen in zip(places, first, strict=True) if chosen]

    def joined(self, places: Sequence[Place]) -> Place:
        """Mean of places that are close, with the element that most of them lack."""
        positions = np.array([place.position for place in places])
        mean = positions[0] + self.shortest(positions - positions[0]).mean(axis=0)
        counts = Counter(place.number for place in places if place.number)
        number = min(counts, key=lambda one: (-counts[one], one), default=0)
        return Place(mean, number, frozenset().union(*(place.sites for place in places)))

    @cached_property
    def peers(self) -> dict[int, list[int]]:
        """Sites of each element, at most `MOST_PEERS`, foreign atoms left out."""
        found = {}
        for number in np.unique(self.numbers).tolist():
            rows = np.flatnonzero((self.numbers == number) & (self.classes <= VACANCY))
            # at random: every n-th of a supercell would all be on the same side of a layer
            found[number] = np.random.default_rng(0).permutation(rows)[:MOST_PEERS].tolist()
        return found

    def neighbors(self, site: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Elements of the neighbors of a site (0: foreign), [n], and vectors to them, [n, 3]."""
        if site not in self._neighbors:
            rows, vectors = self.tree.around(self.atoms.positions[site])
            others = np.linalg.norm(vectors, axis=1) > ITSELF
            numbers = np.where(self.classes <= VACANCY, self.numbers, 0)[rows[others]]
            self._neighbors[site] = numbers, vectors[others]
        return self._neighbors[site]

    def _find_missing(self, site: int) -> list[Place] | None:
        numbers, vectors = self.neighbors(site)
        numbers, vectors = numbers[numbers > 0], vectors[numbers > 0]
        peers = self.of_peers(int(self.numbers[site]))
        if not len(peers.rows):
            return None
        apart = cdist(vectors, peers.vectors, "sqeuclidean")
        apart[numbers[:, None] != peers.numbers] = np.inf
        inside = np.linalg.norm(vectors, axis=1) <= self.radius
        own = np.minimum.reduceat(apart[inside], peers.first, axis=1)
        same = own <= SAME_PLACE**2
        alone = (apart.min(axis=0, initial=np.inf) > SAME_PLACE**2) & peers.inside
        unlike = np.add.reduceat(alone.astype(float), peers.first) + (~same).sum(axis=0)
        unlike += BESIDE * (self.classes[peers.rows] == VACANCY)
        unlike[(peers.rows == site) | (2 * same.sum(axis=0) < len(same))] = np.inf
        best = np.lexsort((np.where(same, own, 0).sum(axis=0), unlike))[0]
        if not np.isfinite(unlike[best]):
            return None
        of_best = alone & (peers.owner == best)
        position, itself = self.atoms.positions[site], frozenset({site})
        return [
            Place(position + vector, number, itself)
            for number, vector in zip(
                peers.numbers[of_best].tolist(), peers.vectors[of_best], strict=True
            )
        ]

    def of_peers(self, number: int) -> Neighborhoods:
        """Neighborhoods of the peers of an element, but for those without neighbors."""
        if number not in self._of_peers:
            around = {row: self.neighbors(row) for row in self.peers[number]}
            around = {row: one for row, one in around.items() if len(one[0])}
            sizes = [len(numbers) for numbers, _ in around.values()]
            vectors = np.concatenate([np.empty((0, 3)), *(one for _, one in around.values())])
            self._of_peers[number] = Neighborhoods(
                np.array(list(around), dtype=int),
                np.cumsum([0, *sizes])[:-1],
                np.repeat(np.arange(len(sizes)), sizes),
                np.concatenate([np.empty(0, int), *(one for one, _ in around.values())]),
                vectors,
                np.linalg.norm(vectors, axis=1) <= self.radius,
            )
        return self._of_peers[number]


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


def _longest_bond(atoms: Atoms, pristine: NDArray[np.bool_]) -> float:
    """Largest distance in Å of a pristine site, or of any, to its nearest neighbor."""
    tree = PeriodicTree(atoms.positions, atoms.cell.array, atoms.pbc, LONGEST_BOND)
    _, vectors = tree.nearest(atoms.positions, k=2)
    nearest = np.linalg.norm(vectors[:, 1], axis=1)
    chosen = nearest[pristine] if pristine.any() else nearest
    return float(chosen[np.isfinite(chosen)].max(initial=0.0)) or LONGEST_BOND


def _foreign_atoms(
    atoms: Atoms, classes: NDArray[np.int64]
) -> tuple[Surroundings, dict[int, Place | None], dict[int, tuple[str, str]]]:
    """Surroundings, and by their rows the places of foreign atoms, and their types and names.

    An atom that its peers expect where it is becomes a neighbor of a vacancy: it may have been
    flagged because of an antisite beside it. Of several at one place only the nearest is expected.
    """
    while True:
        around = Surroundings(atoms, classes)
        places = {
            row: around.place(atoms.positions[row], OFF_PLACE)
            for row in np.flatnonzero(classes > VACANCY).tolist()
        }
        told = {row: _foreign(around, row, place) for row, place in places.items()}
        names = {row: named for row, named in told.items() if named}
        if len(names) == len(told):
            return around, places, names
        expected = {row: place for row, place in places.items() if place and row not in names}
        classes = classes.copy()
        classes[_nearest_of_each_place(around, expected)] = VACANCY


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
