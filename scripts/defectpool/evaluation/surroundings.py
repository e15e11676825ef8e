"""Surroundings of sites whose classes networks tell, and what sites lack that their peers have.

Peers of a site are the pristine sites of its element. What stands around the peer that fits best,
and not around the site, is missing there. The lattice of the host is not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from defectpool.lattice.geometry import PeriodicTree, reduced_cell, shortest
from defectpool.structures.defect_labels import DEFECT_TYPES, FIRST_SHELL

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = DEFECT_TYPES.index("vacancy") + 1

# Two atoms, seen from a site and from its peer, are on the same place if nearer than this (Å).
SAME_PLACE = 1.0

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

        Of several places it is that which most of them lack, and of these the nearest. Where no
        site has a peer, what is missing is not known, and its number 0.
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

        def fit(one: Place) -> tuple[int, float]:
            vector = self.shortest(one.position[None] - point)
            return len(one.sites), -float(np.linalg.norm(vector))

        best = max(self.distinct(places), key=fit, default=None)
        return best if best and len(best.sites) >= SHARE * len(asked) else None

    def missing(self, site: int) -> list[Place] | None:
        """Places where a site has no neighbor, and the peer that fits best has one (0: foreign).

        A peer with less than half of the site's neighbors is none; without any the answer is None.
        """
        if site not in self._missing:
            self._missing[site] = self._find_missing(site)
        return self._missing[site]

    @property
    def ordered(self) -> bool:
        """Whether sites are like their peers: at most one thing is missing at half of them.

        Of the sites that were asked so far.
        """
        numbers = [inf if told is None else len(told) for told in self._missing.values()]
        return not numbers or float(np.median(numbers)) <= 1

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


def _longest_bond(atoms: Atoms, pristine: NDArray[np.bool_]) -> float:
    """Largest distance in Å of a pristine site, or of any, to its nearest neighbor."""
    tree = PeriodicTree(atoms.positions, atoms.cell.array, atoms.pbc, LONGEST_BOND)
    _, vectors = tree.nearest(atoms.positions, k=2)
    nearest = np.linalg.norm(vectors[:, 1], axis=1)
    chosen = nearest[pristine] if pristine.any() else nearest
    return float(chosen[np.isfinite(chosen)].max(initial=0.0)) or LONGEST_BOND
