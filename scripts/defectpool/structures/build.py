"""Hosts become defective supercells, each with its pristine supercell."""

from collections.abc import Iterable, Iterator

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from defectpool.config import StructuresSettings
from defectpool.materials.host import Host
from defectpool.materials.plane_lattice import reduced
from defectpool.runtime.hashing import seed
from defectpool.structures.displacements import displacements, strained
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


def build_structures(
    hosts: Iterable[Host], defect: str, supercell: str, settings: StructuresSettings
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Put one type of defect into hosts.

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
        The structures in order of host and defect, each defective one followed by its pristine supercell;
        and what was left out, with a reason code.
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
    """Twins (defective, pristine) of one host, or why there are none; see `build_structures`."""
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
    for found in choose(candidates, host.id, settings):
        name = f"{found.name}.{found.index}"
        if distance < wanted:
            message = f"images are {distance:.3f} Å apart, less than {wanted:g} Å"
            yield Skipped(host.id, defect, label, name, "images_too_close", message)
            continue
        try:
            yield _twins(host, atoms, found, layout, settings)
        except NoDefect as error:
            yield Skipped(host.id, defect, label, name, error.reason, str(error))


def choose(
    candidates: list[PointDefect], host: str, settings: StructuresSettings
) -> list[PointDefect]:
    """Draw `settings.choose` of a host's defects, or all.

    Each name (`v_Mo`, `H_i`) and each of its defects has a lot of its own, from the seed, the host
    and what it is. The names are served in turn, so that each species has the same chance however
    many inequivalent sites there are for it. The draw depends neither on other hosts nor on the
    supercell, and a larger number keeps what a smaller one has drawn.
    """
    if settings.choose == "all" or settings.choose >= len(candidates):
        return candidates

    named: dict[str, list[PointDefect]] = {}
    for found in candidates:
        named.setdefault(found.name, []).append(found)
    turns = []
    for name, group in named.items():
        group.sort(key=lambda d: seed(settings.seed, host, d.type, d.name, d.index))
        lot = seed(settings.seed, host, group[0].type, name)
        turns += [(turn, lot, found) for turn, found in enumerate(group)]
    turns.sort(key=lambda turn: turn[:2])
    drawn = [found for *_, found in turns[: settings.choose]]
    return sorted(drawn, key=lambda found: (found.name, found.index))


def _twins(
    host: Host, atoms: Atoms, found: PointDefect, layout: Supercell, settings: StructuresSettings
) -> tuple[DefectStructure, DefectStructure]:
    """Build the defective and the pristine supercell; `NoDefect` says why that cannot be."""
    cell = vectors(layout, atoms.cell.array)
    pair = f"{host.id}:{found.name}.{found.index}:{layout.label}"
    positions = repeat(layout, atoms.positions, atoms.cell.array)
    numbers = np.repeat(atoms.numbers, len(layout.cells))
    places = _places(atoms, found, layout, settings, pair)
    if len(places) < settings.count:
        room = f"room for {len(places)} of {settings.count} defects in a supercell"
        raise NoDefect("too_many_defects", room)
    members, cells = places.T
    where = found.positions[members] + layout.cells[cells] @ atoms.cell.array[:2]
    sites = np.array(found.sites, dtype=np.int64)
    if found.sites:
        sites = sites[members] * len(layout.cells) + cells
    if settings.rattle > 0:
        moves = displacements(
            len(positions) + len(where), settings.rattle, seed(settings.seed, "rattle", pair)
        )
        positions = positions + moves[: len(positions)]
        where = positions[sites] if found.sites else where + moves[len(positions) :]

    match found.type:
        case "vacancy":
            left = np.ones(len(numbers), dtype=bool)
            left[sites] = False
            if not left.any():
                raise NoDefect("nothing_left", "no atom is left in the supercell")
            defective = numbers[left], positions[left]
            defective_sites = np.array([], dtype=np.int64)
        case "interstitial":
            added = np.full(len(where), atomic_numbers[found.species])
            defective = np.concatenate([numbers, added]), np.vstack([positions, where])
            defective_sites = np.arange(len(numbers), len(numbers) + len(where))
        case _:
            changed = numbers.copy()
            changed[sites] = atomic_numbers[found.species]
            defective = changed, positions
            defective_sites = sites

    def structure(
        label: int, what: tuple[NDArray, NDArray], where_in_frame: NDArray
    ) -> DefectStructure:
        return DefectStructure(
            atoms=Atoms(numbers=what[0], positions=what[1], cell=cell, pbc=(True, True, False)),
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
            defect_sites=tuple(where_in_frame.tolist()),
            count=settings.count,
            multiplicity=found.multiplicity,
            site_symmetry=found.site_symmetry,
            kind=found.kind,
            free_radius=found.free_radius,
        )

    return structure(1, defective, defective_sites), structure(0, (numbers, positions), sites)


def _places(
    atoms: Atoms, found: PointDefect, layout: Supercell, settings: StructuresSettings, pair: str
) -> NDArray[np.int64]:
    """Where the defects go, as rows (which of the equivalent sites, which cell).

    The first is the first equivalent site in the central cell. Further ones are drawn at random
    from all equivalent sites of the supercell, each as far from the others as the config asks.
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
