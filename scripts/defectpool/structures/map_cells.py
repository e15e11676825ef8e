"""Cells of the map: along each axis one thing changes, all else stays at one point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from defectpool.config import MapSettings, StructuresSettings
from defectpool.config.map import TRAINING_AXES
from defectpool.errors import DefectpoolError
from defectpool.materials.host import Host
from defectpool.runtime.hashing import seed
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import DefectStructure, Skipped

# Keys of `structures` where they are not what changes; all others are those of the campaign.
BASE: dict[str, Any] = {
    "choose": 1,
    "count": 1,
    "min_image_distance": 0.0,
    "rattle": 0.0,
    "strain": 0.0,
    "displacements": [{"model": "thermal", "temperature": 300.0}],
}


@dataclass(frozen=True)
class Point:
    """One value of an axis.

    Attributes
    ----------
    axis, value
        Name of the axis, and the value as text.
    supercell
        Label of the supercell.
    settings
        How its structures are made.
    """

    axis: str
    value: str
    supercell: str
    settings: StructuresSettings


def points(axis: str, chosen: MapSettings, structures: StructuresSettings) -> list[Point]:
    """Points of an axis, in the order of its values.

    Parameters
    ----------
    axis
        One of `AXES`.
    chosen, structures
        Sections `map` and `structures` of the config.
    """
    own = structures.model_dump() | BASE
    alloy = structures.alloy.model_dump() | {"hosts": 0.0}
    found = []
    for text, value in chosen.values(axis).items():
        changed = _changed(axis, value, alloy)
        found.append(
            Point(
                axis,
                text,
                value if axis == "supercells" else chosen.supercell,
                StructuresSettings(**(own | {"alloy": alloy} | changed)),
            )
        )
    return found


def _changed(axis: str, value: Any, alloy: dict[str, Any]) -> dict[str, Any]:
    """Keys of `structures` that a value of an axis changes."""
    match axis:
        case "displacement":
            model = {"model": "static", "sigma": value} if value else "none"
            return {"displacements": [model]}
        case "temperature":
            return {"displacements": [{"model": "thermal", "temperature": value}]}
        case "alloy":
            return {"alloy": alloy | {"hosts": 1.0, "fraction": value}} if value else {}
        case "relaxation":
            return {"displacements": [{"model": "relaxed", "calculator": value}]}
    return {} if axis in ("supercells", *TRAINING_AXES) else {axis: value}


def sampled_hosts(hosts: Iterable[Host], number: int, random_seed: int) -> list[Host]:
    """Hosts with the smallest random keys; a larger sample contains each smaller one."""
    return sorted(hosts, key=lambda host: seed(random_seed, "map", host.id))[:number]


def build_cells(
    hosts: Sequence[Host],
    axis: str,
    defects: Sequence[str],
    chosen: MapSettings,
    structures: StructuresSettings,
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Structures of all points of an axis, and what could not be built.

    Along `concentration` each cell has defects of all types; along the other axes it has one, a
    pair for each type. Notes say axis and value, which the id of a structure ends with, too.

    Parameters
    ----------
    hosts
        The hosts of the campaign; `chosen.hosts` of them are sampled.
    axis
        One of `AXES`.
    defects
        Types of defects of the campaign.
    chosen, structures
        Sections `map` and `structures` of the config.

    Raises
    ------
    DefectpoolError
        There is no structure.
    """
    some = sampled_hosts(hosts, chosen.hosts, structures.seed)
    types = ["dense"] if axis == "concentration" else [d for d in defects if d != "dense"]
    cells, skipped = [], []
    for point in points(axis, chosen, structures):
        for defect in types:
            built, missing = build_structures(some, defect, point.supercell, point.settings)
            left_out = {one.pair: one for one in built if _unfit(point, one)}
            cells += [_at(point, one) for one in built if one.pair not in left_out]
            skipped += missing + [_skipped(one, point) for one in left_out.values()]
    if not cells:
        raise DefectpoolError(
            f"map.{axis}: no structure could be built of the sampled hosts; take more hosts or "
            "other defects, or leave the axis out (an empty list)"
        )
    return cells, skipped


def _unfit(point: Point, one: DefectStructure) -> str:
    """Why a structure does not stand for its point; empty if it does."""
    if not len(one.atoms):
        return "no atoms are left"
    alloyed = point.settings.alloy.hosts == 0 or "alloy" in one.notes
    return "" if alloyed else "no second species for an alloy"


def _skipped(one: DefectStructure, point: Point) -> Skipped:
    reason = _unfit(point, one)
    return Skipped(one.host, one.defect, one.supercell, one.name, "unfit", reason)


def _at(point: Point, one: DefectStructure) -> DefectStructure:
    """Name a structure after its point: the same defect stands at each of them."""
    notes = dict(one.notes) | {"axis": point.axis, "value": point.value}
    end = f"@{point.value}"
    return replace(one, structure=one.structure + end, pair=one.pair + end, notes=notes)
