"""Complexes of point defects: which stand together, and what the pair is called."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from defectpool.lattice.comparison import Defect, places_of
from defectpool.lattice.geometry import Floats, PeriodicTree, shortest
from defectpool.lattice.host import Host

TOGETHER = 2.0  # bonds; defects this near each other form a complex
DUMBBELL = 0.3  # Å; the partner of a split interstitial left its site by more
HALFWAY = 0.35  # share of the way; a split vacancy's atom went further toward the vacant site


@dataclass(frozen=True)
class Complex:
    """Defects that stand together.

    Attributes
    ----------
    name
        "Frenkel pair", "antisite pair", "divacancy", "split interstitial", "split vacancy", or
        the names of the members.
    members
        Indices of the defects.
    distances
        Between the members in Å, for all pairs in order.
    """

    name: str
    members: tuple[int, ...]
    distances: tuple[float, ...]


def find_complexes(
    atoms: Any, host: Host, defects: tuple[Defect, ...], displacements: Floats
) -> tuple[Complex, ...]:
    """Complexes among defects, and split interstitials and vacancies.

    Parameters
    ----------
    atoms, host, defects
        A structure, its host, and what `compare` found.
    displacements
        Of the atoms from their sites in Å, [n, 3].
    """
    if not defects:
        return ()
    places = np.array([d.position for d in defects])
    found = []
    for members in _groups(places, host):
        name = _name(atoms, host, [defects[i] for i in members], displacements)
        if name:
            offsets = [
                shortest(places[b] - places[a], host.pristine_cell, host.pbc)
                for a, b in combinations(members, 2)
            ]
            distances = tuple(float(np.linalg.norm(offset)) for offset in offsets)
            found.append(Complex(name, tuple(members), distances))
    return tuple(found)


def _groups(places: Floats, host: Host) -> list[list[int]]:
    """Members of each group of defects that short distances link, in order."""
    if len(places) == 1:
        return [[0]]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    reach = TOGETHER * host.shortest_bond
    tree = PeriodicTree(places, host.pristine_cell, host.pbc, reach)
    k = min(16, len(tree.rows))
    near = tree.nearest(places, k=k)[0].reshape(len(places), k)
    rows, columns = np.nonzero(near >= 0)
    links = coo_array((np.ones(len(rows)), (rows, near[rows, columns])), shape=(len(places),) * 2)
    count, labels = connected_components(links, directed=False)
    return [np.flatnonzero(labels == group).tolist() for group in range(count)]


def _name(atoms: Any, host: Host, members: list[Defect], displacements: Floats) -> str:
    """Name of a group; "" for a defect that stands alone."""
    types = sorted("interstitial" if d.type == "adatom" else d.type for d in members)
    names = sorted(d.name for d in members)
    if types == ["interstitial"]:
        return "split interstitial" if _is_dumbbell(members[0], host, displacements) else ""
    if _is_split_vacancy(atoms, host, members, displacements):
        return "split vacancy"
    if len(members) == 1:
        return ""
    if types == ["interstitial", "vacancy"] and _species(names[0]) == names[1].split("_")[1]:
        return "Frenkel pair"
    if types == ["antisite", "antisite"] and names[0] == "_".join(names[1].split("_")[::-1]):
        return "antisite pair"
    if types == ["vacancy", "vacancy"]:
        return "divacancy"
    return " + ".join(sorted(names, key=lambda name: (not name.startswith("v_"), name)))


def _species(name: str) -> str:
    return name.split("_")[0]


def _is_dumbbell(extra: Defect, host: Host, displacements: Floats) -> bool:
    """Whether an interstitial shares a site with an atom that moved aside."""
    offset = shortest(
        host.pristine_positions - np.array(extra.position), host.pristine_cell, host.pbc
    )
    distance = np.linalg.norm(offset, axis=1)
    site = int(np.argmin(distance))
    atom = int(host.atom_of_site[site])
    if atom < 0 or distance[site] > 0.75 * host.shortest_bond:
        return False
    apart = displacements[atom]
    opposite = float(apart @ offset[site]) > 0  # both point from the interstitial to beyond
    return bool(np.linalg.norm(apart) > DUMBBELL and opposite)


def _is_split_vacancy(atoms: Any, host: Host, members: list[Defect], displacements: Floats) -> bool:
    """Whether an atom stands about halfway between two sites that nobody else fills."""
    vacancies = [d for d in members if d.type == "vacancy"]
    rest = [d for d in members if d.type != "vacancy"]
    if len(vacancies) == 2 and len(rest) == 1 and rest[0].site < 0:
        a, b = (np.array(v.position) for v in vacancies)
        half = shortest(b - a, host.pristine_cell, host.pbc) / 2
        center = shortest(np.array(rest[0].position) - a, host.pristine_cell, host.pbc) - half
        return bool(np.linalg.norm(center) < (1 - 2 * HALFWAY) * 2 * np.linalg.norm(half))
    if len(vacancies) != 1 or len(rest) > 1 or (rest and rest[0].site < 0):
        return False
    return _moved_toward(atoms, host, vacancies[0], rest, displacements)


def _moved_toward(
    atoms: Any, host: Host, vacancy: Defect, rest: list[Defect], displacements: Floats
) -> bool:
    """Whether a neighbor of a vacancy (the exchanged one, if any) went half the way to it."""
    near = rest[0].atoms if rest else vacancy.atoms
    for atom in near:
        place = places_of(atoms, host)[atom] - displacements[atom]
        way = shortest(np.array(vacancy.position) - place, host.pristine_cell, host.pbc)
        if float(displacements[atom] @ way) > HALFWAY * float(way @ way):
            return True
    return False
