"""Places of defects in a supercell: one, several equal ones, complexes, a share of all sites."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from defectpool.config import StructuresSettings
from defectpool.materials.plane_lattice import in_plane_distances, reduced
from defectpool.runtime.hashing import seed
from defectpool.structures.point_defects import NoDefect, PointDefect
from defectpool.structures.supercell import Supercell, vectors

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Å; a new defect is at least so far from those that are there.
APART = 1e-3


@dataclass(frozen=True)
class Placed:
    """A defect at its place in a supercell.

    Attributes
    ----------
    defect
        The point defect of the host.
    position
        Where it is in Å, [3].
    site
        Its site of the pristine supercell; -1 for an interstitial.
    """

    defect: PointDefect
    position: Floats
    site: int

    @property
    def radius(self) -> float:
        """Covalent radius in Å of its atom; 0 for a vacancy."""
        species = self.defect.species
        return float(covalent_radii[atomic_numbers[species]]) if species else 0.0


def placed(found: PointDefect, places: Ints, layout: Supercell, cell: Floats) -> list[Placed]:
    """Put a point defect at places, rows (index of the equivalent site, index of the cell)."""
    members, cells = places.T
    positions = found.positions[members] + layout.cells[cells] @ cell[:2]
    sites = np.full(len(places), -1)
    if found.sites:
        sites = np.array(found.sites, dtype=np.int64)[members] * len(layout.cells) + cells
    return [
        Placed(found, position, site)
        for position, site in zip(positions, sites.tolist(), strict=True)
    ]


def everywhere(found: PointDefect, layout: Supercell) -> Ints:
    """All places of a point defect in a supercell."""
    return np.array([(m, c) for m in range(found.multiplicity) for c in range(len(layout.cells))])


def equal_defects(
    found: PointDefect, layout: Supercell, cell: Floats, settings: StructuresSettings, pair: str
) -> list[Placed]:
    """Several equal defects.

    The first is the first equivalent site in the central cell. Further ones are sampled from all
    equivalent sites of the supercell, with `min_image_distance` between any two.

    Raises
    ------
    NoDefect
        If there is no room for all of them.
    """
    first = np.array([[0, layout.center]])
    if settings.count == 1:
        return placed(found, first, layout, cell)
    places = everywhere(found, layout)
    order = np.random.default_rng(seed(settings.seed, "count", pair)).permutation(len(places))
    candidates = placed(found, np.vstack([first, places[order]]), layout, cell)
    points = np.array([one.position for one in candidates])
    apart = max(settings.min_image_distance, APART)
    if found.type == "interstitial":
        apart = max(apart, 2 * candidates[0].radius * settings.min_separation)
    plane = reduced(vectors(layout, cell)[:2])
    taken: list[int] = []
    for i, point in enumerate(points):
        if not taken or in_plane_distances(point - points[taken], plane).min() >= apart:
            taken.append(i)
        if len(taken) == settings.count:
            return [candidates[i] for i in taken]
    raise _no_room(len(taken), settings.count)


def complex_defects(
    candidates: Mapping[str, Sequence[PointDefect]],
    layout: Supercell,
    cell: Floats,
    settings: StructuresSettings,
    pair: str,
) -> list[Placed]:
    """Two to five defects of different types, near each other or far; see `mixed_defects`."""
    chosen = settings.complexes
    random = np.random.default_rng(seed(settings.seed, "complex", pair))
    low, high = chosen.number if isinstance(chosen.number, tuple) else (chosen.number,) * 2
    number = int(random.integers(low, high + 1))
    distance = chosen.distance
    if distance == "any":
        distance = ("near", "far")[random.integers(2)]

    def allowed(distances: Floats) -> bool:
        is_near = bool(distances.min() <= chosen.reach)
        return is_near is (distance == "near")

    return mixed_defects(candidates, number, layout, cell, settings, random, allowed)


def dense_defects(
    candidates: Mapping[str, Sequence[PointDefect]],
    layout: Supercell,
    cell: Floats,
    settings: StructuresSettings,
    pair: str,
    sites: int,
) -> list[Placed]:
    """A share of all sites as defects of all types, anywhere; see `mixed_defects`."""
    random = np.random.default_rng(seed(settings.seed, "dense", pair))
    share = settings.concentration
    share = random.uniform(*share) if isinstance(share, tuple) else share
    number = max(1, round(share * sites))
    return mixed_defects(candidates, number, layout, cell, settings, random)


def mixed_defects(
    candidates: Mapping[str, Sequence[PointDefect]],
    number: int,
    layout: Supercell,
    cell: Floats,
    settings: StructuresSettings,
    random: np.random.Generator,
    allowed: Callable[[Floats], bool] | None = None,
) -> list[Placed]:
    """Defects of mixed types at random places.

    The types take turns in a random order. Within a type every name has the same chance, within a
    name every place. No site has two defects, and interstitials keep `min_separation` from every
    foreign atom.

    Parameters
    ----------
    candidates
        Point defects of the host by type.
    number
        How many are placed.
    layout, cell
        The supercell and the cell vectors of the host.
    settings
        Section `structures` of the config.
    random
        Generator of random numbers.
    allowed
        Whether a place is allowed, by its distances in Å to the defects that are there; None for
        any place.

    Raises
    ------
    NoDefect
        If there is no room for all of them.
    """
    plane = reduced(vectors(layout, cell)[:2])
    types = [list(candidates)[i] for i in random.permutation(len(candidates))]
    named = {
        kind: [group for _, group in sorted(by_name(candidates[kind]).items())] for kind in types
    }
    taken: list[Placed] = []

    def free(one: Placed) -> bool:
        return not taken or _fits(one, taken, plane, settings.min_separation, allowed)

    while len(taken) < number:
        turn = len(taken) % len(types)
        for kind in types[turn:] + types[:turn]:
            if found := _next_defect(named[kind], layout, cell, random, free):
                taken.append(found)
                break
        else:
            raise _no_room(len(taken), number)
    return taken


def by_name(candidates: Iterable[PointDefect]) -> dict[str, list[PointDefect]]:
    """Point defects grouped by their names."""
    named: dict[str, list[PointDefect]] = {}
    for found in candidates:
        named.setdefault(found.name, []).append(found)
    return named


def _next_defect(
    named: Sequence[Sequence[PointDefect]],
    layout: Supercell,
    cell: Floats,
    random: np.random.Generator,
    free: Callable[[Placed], bool],
) -> Placed | None:
    """One more defect of a type at the first place in a random order that is free; or None."""
    for i in random.permutation(len(named)):
        rows = [(found, place) for found in named[i] for place in everywhere(found, layout)]
        for row in random.permutation(len(rows)):
            found, place = rows[row]
            (one,) = placed(found, place[None], layout, cell)
            if free(one):
                return one
    return None


def _fits(
    one: Placed,
    taken: Sequence[Placed],
    plane: Floats,
    min_separation: float,
    allowed: Callable[[Floats], bool] | None,
) -> bool:
    """Whether one more defect may be beside those that are there."""
    if one.site >= 0 and any(one.site == other.site for other in taken):
        return False
    near = [other for other in taken if one.site < 0 or other.site < 0 or allowed]
    if not near:
        return True
    between = one.position - np.array([other.position for other in near])
    distances = in_plane_distances(between, plane)
    touching = [(one.site < 0 or o.site < 0) and one.radius > 0 and o.radius > 0 for o in near]
    room = [min_separation * (one.radius + other.radius) for other in near]
    apart = np.maximum(np.where(touching, room, 0), APART)
    return bool(np.all(distances >= apart)) and (not allowed or allowed(distances))


def _no_room(room: int, wanted: int) -> NoDefect:
    return NoDefect("too_many_defects", f"a supercell has room for {room} of {wanted} defects")


def with_defects(
    pristine: Atoms, placed: Sequence[Placed], where: Floats
) -> tuple[Atoms, list[int]]:
    """Put defects into a pristine supercell.

    Parameters
    ----------
    pristine
        The supercell.
    placed
        The defects.
    where
        Their positions in Å, [defects, 3]; they count for interstitials.

    Returns
    -------
    tuple
        The defective supercell, interstitials last, and the row of each defect's atom in it; -1
        for a vacancy.

    Raises
    ------
    NoDefect
        If no atom would be left.
    """
    numbers = pristine.numbers.copy()
    left = np.ones(len(numbers), dtype=bool)
    for one in placed:
        if one.site >= 0 and one.defect.species:
            numbers[one.site] = atomic_numbers[one.defect.species]
        elif one.site >= 0:
            left[one.site] = False
    added = [i for i, one in enumerate(placed) if one.site < 0]
    if not left.any() and not added:
        raise NoDefect("nothing_left", "no atom is left in the supercell")
    place = np.cumsum(left) - 1
    rows = [int(place[one.site]) if one.defect.species else -1 for one in placed]
    for row, i in enumerate(added, start=int(left.sum())):
        rows[i] = row
    species = [atomic_numbers[placed[i].defect.species] for i in added]
    defective = Atoms(
        numbers=[*numbers[left].tolist(), *species],
        positions=np.vstack([pristine.positions[left], where[added]]),
        cell=pristine.cell,
        pbc=pristine.pbc,
    )
    return defective, rows


def mixed_name(name: str, placed: Sequence[Placed]) -> str:
    """Name of several defects: those of a complex, `S_Mo+v_S`; of more, the word alone."""
    word = name.partition(".")[0]
    if word != "complex":
        return word
    return "+".join(sorted(one.defect.name for one in placed))
