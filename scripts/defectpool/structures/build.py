"""Defective supercells of hosts, each with the pristine supercell of the same size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms

from defectpool.config import Displacements, StructuresSettings
from defectpool.materials.extended_xyz import Value
from defectpool.materials.host import Host
from defectpool.runtime.hashing import seed
from defectpool.structures.alloys import Alloy, alloy_of, alloyed
from defectpool.structures.defect_labels import DEFECT_TYPES, DefectLabel, labels_of
from defectpool.structures.displacements import (
    displaced,
    distances_moved,
    draw,
    name_of,
    rattled,
    strained,
    uniform,
)
from defectpool.structures.placement import (
    Placed,
    by_name,
    complex_defects,
    dense_defects,
    equal_defects,
    mixed_name,
    with_defects,
)
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

Candidates = dict[str, list[PointDefect]]

# Defects of which a cell has several types.
MIXED = ("complex", "dense")


def build_structures(
    hosts: Iterable[Host], defect: str, supercell: str, settings: StructuresSettings
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Build the defective and pristine supercells of hosts for one type of defect.

    Parameters
    ----------
    hosts
        The hosts, in any order.
    defect
        vacancy, antisite, substitution, interstitial, complex or dense.
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
    atoms = host.atoms
    if not isinstance(settings.strain, tuple):
        atoms = strained(atoms, settings.strain)
    try:
        alloy = alloy_of(host.id, atoms, settings)
        candidates = candidates_of(atoms, defect, alloy, settings)
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
    for name, choice in sampled(candidates, host.id, defect, settings):
        if distance < wanted:
            message = f"images are {distance:.3f} Å apart, less than {wanted:g} Å"
            yield Skipped(host.id, defect, label, name, "images_too_close", message)
            continue
        try:
            pair = _pair(host, atoms, name, choice, layout, alloy, settings)
        except NoDefect as error:
            yield Skipped(host.id, defect, label, name, error.reason, str(error))
        else:
            yield _displaced(pair, settings)


def candidates_of(
    atoms: Atoms, defect: str, alloy: Alloy | None, settings: StructuresSettings
) -> Candidates:
    """Point defects of a host by type: those of one type, or of all for several in a cell.

    Raises
    ------
    NoDefect
        If there is none.
    NoSymmetry
        If the host has no layer group.
    """
    symmetry = layer_symmetry(atoms, settings.symprec)
    found: Candidates = {}
    problem = NoDefect("no_foreign_species", "every substituting species is one of the alloy's own")
    for kind in DEFECT_TYPES if defect in MIXED else [defect]:
        try:
            listed = point_defects(atoms, symmetry, kind, settings)
        except NoDefect as error:
            problem = error
            continue
        if alloy and kind == "substitution":
            listed = [one for one in listed if one.species != alloy.partner]
        if listed:
            found[kind] = listed
    if not found:
        raise problem
    return found


def sampled(
    candidates: Candidates, host: str, defect: str, settings: StructuresSettings
) -> Iterator[tuple[str, PointDefect | Candidates]]:
    """Names and defects of the pairs of a host; all candidates where a cell has several types."""
    if defect in MIXED:
        number = 1 if settings.choose == "all" else settings.choose
        yield from ((f"{defect}.{index}", candidates) for index in range(number))
        return
    for found in sample(candidates[defect], host, settings):
        yield f"{found.name}.{found.index}", found


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

    turns = []
    for name, group in by_name(candidates).items():
        group.sort(key=lambda d: seed(settings.seed, host, d.type, d.name, d.index))
        key = seed(settings.seed, host, group[0].type, name)
        turns += [(turn, key, found) for turn, found in enumerate(group)]
    turns.sort(key=lambda turn: turn[:2])
    sampled = [found for *_, found in turns[: settings.choose]]
    return sorted(sampled, key=lambda found: (found.name, found.index))


def _pair(
    host: Host,
    atoms: Atoms,
    name: str,
    choice: PointDefect | Candidates,
    layout: Supercell,
    alloy: Alloy | None,
    settings: StructuresSettings,
) -> tuple[DefectStructure, DefectStructure]:
    """Build the defective and the pristine supercell.

    Raises
    ------
    NoDefect
        If the defects do not fit into the supercell, or if no atom would be left.
    """
    pair = f"{host.id}:{name}:{layout.label}"
    placed = _placed(choice, name, layout, atoms, settings, pair)
    positions = repeat(layout, atoms.positions, atoms.cell.array)
    numbers = np.repeat(atoms.numbers, len(layout.cells))
    where = np.array([one.position for one in placed])
    sites = np.array([one.site for one in placed], dtype=np.int64)
    notes: dict[str, Value] = {}
    if alloy:
        numbers, notes["alloy"] = alloyed(numbers, alloy, sites, pair, settings)
    if settings.rattle > 0:
        moves = rattled(
            len(positions) + len(where), settings.rattle, seed(settings.seed, "rattle", pair)
        )
        positions = positions + moves[: len(positions)]
        where = np.where(sites[:, None] >= 0, positions[sites], where + moves[len(positions) :])
    cell = vectors(layout, atoms.cell.array)
    both = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=(True, True, False))
    defective, rows = with_defects(both, placed, where)
    if isinstance(settings.strain, tuple):
        strain = uniform(*settings.strain, seed(settings.seed, "strain", pair))
        both, defective = (strained(one, strain) for one in (both, defective))
        where = where @ np.linalg.solve(cell, both.cell.array)
        notes["strain"] = strain
    mixed = not isinstance(choice, PointDefect)
    common = {
        "pair": pair,
        "host": host.id,
        "formula": host.formula,
        "supercell": layout.label,
        "position": where[0],
        "count": len(placed),
        "notes": notes,
    } | _description(name, placed, mixed)
    labels: tuple[DefectLabel, ...] = ()
    if mixed or len(placed) > 1:
        kinds, names = ([getattr(one.defect, key) for one in placed] for key in ("type", "name"))
        labels = labels_of(defective, kinds, names, where, rows)
    counted = 1 if mixed else len(placed)  # one site beside one position
    own, before = ([row for row in of[:counted] if row >= 0] for of in (rows, sites.tolist()))
    make = partial(DefectStructure, **common)
    return (
        make(atoms=defective, structure=pair, label=1, defect_sites=tuple(own), labels=labels),
        make(atoms=both, structure=f"{pair}:pristine", label=0, defect_sites=tuple(before)),
    )


def _description(name: str, placed: Sequence[Placed], mixed: bool) -> dict[str, Any]:
    """Values of a structure on its defect; where types are mixed, on the first one."""
    first = placed[0].defect
    return {
        "defect": name.partition(".")[0] if mixed else first.type,
        "name": mixed_name(name, placed) if mixed else first.name,
        "species": first.species,
        "replaced": first.replaced,
        "multiplicity": first.multiplicity,
        "site_symmetry": first.site_symmetry,
        "site_type": first.site_type,
        "free_radius": first.free_radius,
    }


def _displaced(
    pair: tuple[DefectStructure, DefectStructure], settings: StructuresSettings
) -> tuple[DefectStructure, DefectStructure]:
    """Displace both structures of a pair by one model, each in its own way."""
    model = draw(settings.displacements, pair[0].pair, settings.seed)
    if name_of(model) == "none":
        return pair
    defective, pristine = (_one_displaced(one, model, settings.seed) for one in pair)
    return defective, pristine


def _one_displaced(
    one: DefectStructure, model: Displacements | str, random_seed: int
) -> DefectStructure:
    atoms = displaced(one.atoms, model, one.structure, random_seed)
    notes = dict(one.notes)
    if atoms is not one.atoms:
        notes |= distances_moved(one.atoms, atoms.positions, one.defect_positions)
    labels, name = one.defects, name_of(model)
    return replace(one, atoms=atoms, displacements=name, labels=labels, notes=notes)


def _placed(
    choice: PointDefect | Candidates,
    name: str,
    layout: Supercell,
    atoms: Atoms,
    settings: StructuresSettings,
    pair: str,
) -> list[Placed]:
    """Places of the defects of a pair."""
    cell = atoms.cell.array
    if isinstance(choice, PointDefect):
        return equal_defects(choice, layout, cell, settings, pair)
    if name.startswith("complex"):
        return complex_defects(choice, layout, cell, settings, pair)
    sites = len(atoms) * len(layout.cells)
    return dense_defects(choice, layout, cell, settings, pair, sites)
