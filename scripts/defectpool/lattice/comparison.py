"""Comparison of a structure with its host, site by site: the point defects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from defectpool.lattice import score
from defectpool.lattice.assignment import assign
from defectpool.lattice.geometry import Floats, Ints, PeriodicTree, gathered, wrapped
from defectpool.lattice.host import Host
from defectpool.lattice.naming import defect_name

VACUUM = 7.0  # Å; a gap this wide between layers is vacuum
ABOVE = 0.3  # Å; an atom this far outside the outermost sites is an adatom


@dataclass(frozen=True)
class Defect:
    """A point defect.

    Attributes
    ----------
    type
        "vacancy", "antisite", "substitution", "interstitial" or "adatom".
    name
        As pymatgen writes it: v_Mo, S_Mo, Li_i.
    position
        Of the ideal site in the given cell in Å; of the atom for an interstitial or adatom, [3].
    atoms
        Row of the atom in the given structure; rows of the nearest atoms for a vacancy.
    site
        Row of the site in the pristine supercell, -1 for an interstitial or adatom.
    distance_moved
        Of the atom from its site in Å, 0 where there is none.
    score
        Share of such answers that are right, 0 to 1.
    """

    type: str
    name: str
    position: tuple[float, float, float]
    atoms: tuple[int, ...]
    site: int
    distance_moved: float
    score: float


def compare(atoms: Any, host: Host) -> tuple[Defect, ...]:
    """Point defects of a structure: vacancies, exchanged atoms, interstitials, in this order.

    Parameters
    ----------
    atoms
        The structure that the host was found in, or another in the same frame of reference, such
        as a later step of a trajectory.
    host
        From `find_host`.
    """
    site_of_atom, displacements = seat(atoms, host)
    return defects_of(atoms, host, site_of_atom, displacements)


def seat(atoms: Any, host: Host) -> tuple[Ints, Floats]:
    """Site of each atom [n] (-1: none) and displacement from it in Å [n, 3]."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = places_of(atoms, host)
    return assign(
        numbers,
        positions,
        host.pristine_numbers,
        host.pristine_positions,
        host.pristine_cell,
        host.pbc,
    )


def places_of(atoms: Any, host: Host) -> Floats:
    """Positions in Å in which a layer is in one piece, [n, 3]."""
    return gathered(np.asarray(atoms.positions, dtype=float), host.pristine_cell, host.pbc)


def defects_of(
    atoms: Any, host: Host, site_of_atom: Ints, displacements: Floats
) -> tuple[Defect, ...]:
    """Point defects of an assignment of atoms to sites."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = places_of(atoms, host)
    occupied = np.zeros(len(host.pristine_numbers), dtype=bool)
    occupied[site_of_atom[site_of_atom >= 0]] = True
    vacant = np.flatnonzero(~occupied)
    seated = site_of_atom >= 0
    exchanged = np.flatnonzero(seated & (numbers != host.pristine_numbers[site_of_atom]))
    extra = np.flatnonzero(~seated)
    if not len(vacant) and not len(exchanged) and not len(extra):
        return ()
    return (
        *_vacancies(vacant, positions, host, site_of_atom, displacements),
        *_exchanged(exchanged, numbers, host, site_of_atom, displacements),
        *_interstitials(extra, numbers, positions, host, vacant),
    )


def composition_balance(defects: tuple[Defect, ...], atoms: Any, host: Host) -> dict[int, int]:
    """Atoms minus what the host and its defects add up to, by atomic number; all are 0."""
    balance: dict[int, int] = {}
    for z, step in [(z, 1) for z in np.asarray(atoms.numbers)] + [
        (z, -1) for z in host.pristine_numbers
    ]:
        balance[int(z)] = balance.get(int(z), 0) + step
    for defect in defects:
        if defect.site >= 0:
            balance[int(host.pristine_numbers[defect.site])] += 1
        if defect.type != "vacancy":
            balance[int(np.asarray(atoms.numbers)[defect.atoms[0]])] -= 1
    return balance


def _vacancies(
    vacant: Ints, positions: Floats, host: Host, site_of_atom: Ints, displacements: Floats
) -> list[Defect]:
    """Vacant sites, each with the atoms of its first shell."""
    if not len(vacant):
        return []
    sites = host.pristine_positions[vacant]
    reach = 2.0 * host.shortest_bond
    tree = PeriodicTree(positions, host.pristine_cell, host.pbc, reach)
    rows, vectors = tree.nearest(sites, k=8)
    length = np.linalg.norm(vectors, axis=2)
    found = []
    for site, place, near, distance in zip(vacant, sites, rows, length, strict=True):
        shell = near[(near >= 0) & (distance <= 1.25 * max(distance[0], 0.6))]
        closest = float(distance[0]) if np.isfinite(distance[0]) else reach
        found.append(
            Defect(
                "vacancy",
                defect_name(None, int(host.pristine_numbers[site])),
                _inside(place, host),
                tuple(sorted({int(row) for row in shell})),
                int(site),
                0.0,
                score.score("vacancy", score.of_vacancy(closest, host.shortest_bond)),
            )
        )
    return found


def _exchanged(
    exchanged: Ints, numbers: Ints, host: Host, site_of_atom: Ints, displacements: Floats
) -> list[Defect]:
    """Atoms on sites of another species: antisites, and substitutions by foreign atoms."""
    found = []
    ambiguity = score.of_exchanged(site_of_atom[exchanged], displacements[exchanged], host)
    for row, doubtful in zip(exchanged, ambiguity, strict=True):
        site, number = int(site_of_atom[row]), int(numbers[row])
        native = number in host.numbers
        kind = "antisite" if native else "substitution"
        found.append(
            Defect(
                kind,
                defect_name(number, int(host.pristine_numbers[site])),
                _inside(host.pristine_positions[site], host),
                (int(row),),
                site,
                float(np.linalg.norm(displacements[row])),
                score.score(kind, float(doubtful)),
            )
        )
    return found


def _interstitials(
    extra: Ints, numbers: Ints, positions: Floats, host: Host, vacant: Ints
) -> list[Defect]:
    """Atoms without a site: interstitials, or adatoms where they lie outside the layer."""
    outside = _outside(positions[extra], host)
    free = host.pristine_positions[vacant]
    return [
        Defect(
            "adatom" if out else "interstitial",
            defect_name(int(numbers[row]), None),
            _inside(positions[row], host),
            (int(row),),
            -1,
            0.0,
            score.score("interstitial", score.of_interstitial(positions[row], free, host)),
        )
        for row, out in zip(extra, outside, strict=True)
    ]


def _outside(positions: Floats, host: Host) -> np.ndarray:
    """Whether positions lie in the vacuum beside a layer, [m]."""
    outside = np.zeros(len(positions), dtype=bool)
    inverse = np.linalg.inv(host.pristine_cell)
    for axis in range(3):
        normal = inverse[:, axis]
        height = 1.0 / float(np.linalg.norm(normal))
        sites = wrapped(host.pristine_positions @ inverse, host.pbc)[:, axis]
        levels = np.sort(sites)
        gaps = np.diff(np.append(levels, levels[0] + 1)) * height
        widest = int(np.argmax(gaps))
        if host.pbc[axis] and gaps[widest] < VACUUM:
            continue
        top = levels[widest] if host.pbc[axis] else levels[-1]
        bottom = levels[(widest + 1) % len(levels)] if host.pbc[axis] else levels[0]
        thickness = (top - bottom) % 1 if host.pbc[axis] else top - bottom
        above = wrapped(positions @ inverse, host.pbc)[:, axis] - bottom
        above = above % 1 if host.pbc[axis] else above
        margin = ABOVE / height
        beyond = (above > thickness + margin) | (above < -margin)
        outside |= beyond & (~host.pbc[axis] | (above < 1 - margin))
    return outside


def _inside(position: Floats, host: Host) -> tuple[float, float, float]:
    """Position in the given cell, in Å."""
    scaled = wrapped(position @ np.linalg.inv(host.pristine_cell), host.pbc)
    x, y, z = (scaled @ host.pristine_cell).tolist()
    return x, y, z
