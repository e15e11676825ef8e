"""Defective supercells of hosts, each with the pristine supercell of the same size."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from defectpool.config import StructuresSettings
from defectpool.materials.host import Host
from defectpool.materials.plane_lattice import reduced
from defectpool.runtime.hashing import seed
from defectpool.structures.defect_labels import labels_of
from defectpool.structures.displacements import displaced, draw, name_of, rattled, strained
from defectpool.structures.point_defects import NoDefect, PointDefect, point_defects
from defectpool.structures.structure_files import DefectStructure, Skipped
from defectpool.structures.supercell import (
    Supercell,
    enlarged,
    image_distance,
    repeat,
    supercell,
    vectors,
)
from defectpool.structures.symmetry import NoSymmetry, layer_symmetry

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def build_structures(
    hosts: Iterable[Host], defect: str, supercell: str, settings: StructuresSettings
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Build the defective and pristine supercells of hosts for one type of defect.

    Parameters
    ----------
    hosts
        The hosts, in any order.
    defect
        vacancy, antisite, substitution or interstitial.
    supercell
        Label: "2x2", "3x2", or "2_1x-1_1" for the matrix [[2, 1], [-1, 1]].
    settings
        Section `structures` of the config.

    Returns
    -------
    tuple of lists
        The structures in order of host and defect, each defective supercell followed by its
        pristine supercell; and what was left out, with a reason code.
    """
    structures: list[DefectStructure] = []
    skipped: list[Skipped] = []
    for host in sorted(hosts, key=lambda host: host.id):
        for built in build_host(host, defect, supercell, settings):
            if isinstance(built, Skipped):
                skipped.append(built)
            else:
                structures.extend(built)
    return structures, skipped


def build_host(
    host: Host, defect: str, label: str, settings: StructuresSettings
) -> Iterator[tuple[DefectStructure, DefectStructure] | Skipped]:
    """Pairs (defective, pristine) of one host, or why there are none; see `build_structures`."""
    atoms = strained(host.atoms, settings.strain)
    try:
        symmetry = layer_symmetry(atoms, settings.symprec)
        candidates = point_defects(atoms, symmetry, defect, settings)
    except NoSymmetry as error:
        yield Skipped(host.id, defect, label, "", "no_symmetry", str(error))
        return
    except NoDefect as error:
        yield Skipped(host.id, defect, label, "", error.reason, str(error))
        return
    layout = supercell(label)
    cell = atoms.cell.array
    wanted = settings.min_image_distance
    distance = image_distance(layout, cell)
    if distance < wanted and settings.too_close == "enlarge":
        layout = enlarged(layout, cell, wanted)
        distance = image_distance(layout, cell)
    for found in sample(candidates, host.id, settings):
        name = f"{found.name}.{found.index}"
        if distance < wanted:
            message = f"images are {distance:.3f} Å apart, less than {wanted:g} Å"
            yield Skipped(host.id, defect, label, name, "images_too_close", message)
            continue
        try:
            pair = _pair(host, atoms, found, layout, settings)
        except NoDefect as error:
            yield Skipped(host.id, defect, label, name, error.reason, str(error))
        else:
            yield _displaced(pair, settings)


def sample(
    candidates: list[PointDefect], host: str, settings: StructuresSettings
) -> list[PointDefect]:
    """Sample `settings.choose` of a host's defects, or take all.

    Each name (`v_Mo`, `H_i`) and each of its defects has a random key: a hash of the seed, the host
    and the defect. The names take turns, so that each species has the same chance however many
    inequivalent sites it has. The sample depends neither on other hosts nor on the supercell, and a
    larger sample contains each smaller one.
    """
    if settings.choose == "all" or settings.choose >= len(candidates):
        return candidates

    named: dict[str, list[PointDefect]] = {}
    for found in candidates:
        named.setdefault(found.name, []).append(found)
    turns = []
    for name, group in named.items():
        group.sort(key=lambda d: seed(settings.seed, host, d.type, d.name, d.index))
        key = seed(settings.seed, host, group[0].type, name)
        turns += [(turn, key, found) for turn, found in enumerate(group)]
    turns.sort(key=lambda turn: turn[:2])
    sampled = [found for *_, found in turns[: settings.choose]]
    return sorted(sampled, key=lambda found: (found.name, found.index))


def _pair(
    host: Host, atoms: Atoms, found: PointDefect, layout: Supercell, settings: StructuresSettings
) -> tuple[DefectStructure, DefectStructure]:
    """Build the defective and the pristine supercell.

    Raises
    ------
    NoDefect
        If the defects do not fit into the supercell, or if no atom would be left.
    """
    cell = vectors(layout, atoms.cell.array)
    pair = f"{host.id}:{found.name}.{found.index}:{layout.label}"
    positions = repeat(layout, atoms.positions, atoms.cell.array)
    numbers = np.repeat(atoms.numbers, len(layout.cells))
    places = _places(atoms, found, layout, settings, pair)
    if len(places) < settings.count:
        room = f"a supercell has room for {len(places)} of {settings.count} defects"
        raise NoDefect("too_many_defects", room)
    members, cells = places.T
    where = found.positions[members] + layout.cells[cells] @ atoms.cell.array[:2]
    sites = np.array(found.sites, dtype=np.int64)
    if found.sites:
        sites = sites[members] * len(layout.cells) + cells
    if settings.rattle > 0:
        moves = rattled(
            len(positions) + len(where), settings.rattle, seed(settings.seed, "rattle", pair)
        )
        positions = positions + moves[: len(positions)]
        where = positions[sites] if found.sites else where + moves[len(positions) :]

    def structure(
        label: int, numbers: Ints, positions: Floats, defect_sites: Ints
    ) -> DefectStructure:
        return DefectStructure(
            atoms=Atoms(numbers=numbers, positions=positions, cell=cell, pbc=(True, True, False)),
            structure=pair if label else f"{pair}:pristine",
            pair=pair,
            host=host.id,
            formula=host.formula,
            defect=found.type,
            name=found.name,
            supercell=layout.label,
            label=label,
            species=found.species,
            replaced=found.replaced,
            position=where[0],
            defect_sites=tuple(defect_sites.tolist()),
            count=settings.count,
            multiplicity=found.multiplicity,
            site_symmetry=found.site_symmetry,
            site_type=found.site_type,
            free_radius=found.free_radius,
        )

    defective = structure(1, *_with_defects(found, numbers, positions, where, sites))
    if settings.count > 1:
        rows = defective.defect_sites
        labels = labels_of(defective.atoms, found.type, found.name, where, rows)
        defective = replace(defective, labels=labels)
    return defective, structure(0, numbers, positions, sites)


def _displaced(
    pair: tuple[DefectStructure, DefectStructure], settings: StructuresSettings
) -> tuple[DefectStructure, DefectStructure]:
    """Displace both structures of a pair by one model, each in its own way."""
    model = draw(settings.displacements, pair[0].pair, settings.seed)
    if name_of(model) == "none":
        return pair
    defective, pristine = (
        replace(
            one,
            atoms=displaced(one.atoms, model, one.structure, settings.seed),
            displacements=name_of(model),
            labels=one.defects,
        )
        for one in pair
    )
    return defective, pristine


def _with_defects(
    found: PointDefect, numbers: Ints, positions: Floats, where: Floats, sites: Ints
) -> tuple[Ints, Floats, Ints]:
    """Put defects into a supercell: its species and positions, and the sites of the defects."""
    match found.type:
        case "vacancy":
            left = np.ones(len(numbers), dtype=bool)
            left[sites] = False
            if not left.any():
                raise NoDefect("nothing_left", "no atom is left in the supercell")
            return numbers[left], positions[left], np.array([], dtype=np.int64)
        case "interstitial":
            added = np.full(len(where), atomic_numbers[found.species])
            defects = np.arange(len(numbers), len(numbers) + len(where))
            return np.concatenate([numbers, added]), np.vstack([positions, where]), defects
        case _:
            changed = numbers.copy()
            changed[sites] = atomic_numbers[found.species]
            return changed, positions, sites


def _places(
    atoms: Atoms, found: PointDefect, layout: Supercell, settings: StructuresSettings, pair: str
) -> Ints:
    """Places of the defects, as rows (index of the equivalent site, index of the cell).

    The first is the first equivalent site in the central cell. Further ones are sampled from all
    equivalent sites of the supercell, with `min_image_distance` between any two.
    """
    first = np.array([[0, layout.center]])
    if settings.count == 1:
        return first
    everywhere = np.array(
        [(m, c) for m in range(found.multiplicity) for c in range(len(layout.cells))]
    )
    order = np.random.default_rng(seed(settings.seed, "count", pair)).permutation(len(everywhere))
    candidates = np.vstack([first, everywhere[order]])
    points = (
        found.positions[candidates[:, 0]] + layout.cells[candidates[:, 1]] @ atoms.cell.array[:2]
    )
    apart = max(settings.min_image_distance, 1e-3)
    if found.type == "interstitial":
        radius = covalent_radii[atomic_numbers[found.species]]
        apart = max(apart, 2 * radius * settings.min_separation)
    plane = reduced(vectors(layout, atoms.cell.array)[:2])
    inverse = np.linalg.pinv(plane)
    images = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ plane
    taken: list[int] = []
    for i, point in enumerate(points):
        difference = point - points[taken]
        difference = difference - np.round(difference @ inverse) @ plane
        distances = np.linalg.norm(difference[:, None] + images, axis=2)
        if not taken or distances.min() >= apart:
            taken.append(i)
        if len(taken) == settings.count:
            break
    return candidates[taken]
