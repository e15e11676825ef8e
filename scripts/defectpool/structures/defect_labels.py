"""Labels of all defects of a structure, as a file of structures holds them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from numpy.typing import NDArray

# Types of defects; type i has the code i + 1, as a defect and as a site.
DEFECT_TYPES = ("vacancy", "antisite", "substitution", "interstitial")

# Atoms around a vacancy are its neighbors up to this many times the distance of the nearest.
FIRST_SHELL = 1.2


@dataclass(frozen=True)
class DefectLabel:
    """One defect of a structure.

    Attributes
    ----------
    kind
        vacancy, antisite, substitution or interstitial.
    name
        As pymatgen writes it: v_Mo, S_Mo, Li_i.
    position
        Ideal position in Å, before atoms are displaced, [3].
    atom
        Index of its atom in the structure; None for a vacancy.
    neighbors
        Indices of the atoms nearest to a vacancy; none for other defects.
    """

    kind: str
    name: str
    position: tuple[float, ...]
    atom: int | None = None
    neighbors: tuple[int, ...] = ()

    @property
    def atoms(self) -> tuple[int, ...]:
        """Indices of the atoms concerned: its own, or the neighbors of a vacancy."""
        return self.neighbors if self.atom is None else (self.atom,)


def labels_of(
    atoms: Atoms,
    kinds: Sequence[str],
    names: Sequence[str],
    positions: NDArray[np.float64],
    rows: Sequence[int],
) -> tuple[DefectLabel, ...]:
    """Labels of the defects of a structure whose atoms are on their sites.

    Parameters
    ----------
    atoms
        The structure with the defects.
    kinds, names
        Type and name of each defect.
    positions
        Their positions in Å, [defects, 3].
    rows
        Indices of their atoms; -1 for vacancies.
    """
    vacancies = [i for i, row in enumerate(rows) if row < 0]
    added = [row for kind, row in zip(kinds, rows, strict=True) if kind == "interstitial"]
    near = dict(zip(vacancies, _neighbors(atoms, positions[vacancies], added), strict=True))
    return tuple(
        DefectLabel(kind, name, tuple(position), None if i in near else row, near.get(i, ()))
        for i, (kind, name, position, row) in enumerate(
            zip(kinds, names, positions.tolist(), rows, strict=True)
        )
    )


def _neighbors(
    atoms: Atoms, points: NDArray[np.float64], added: Sequence[int]
) -> list[tuple[int, ...]]:
    """Indices of the atoms nearest to each point, interstitials (`added`) left out."""
    if not len(points):
        return []
    _, distances = get_distances(points, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if len(added) < len(atoms):
        distances[:, list(added)] = np.inf
    nearest = distances <= FIRST_SHELL * distances.min(axis=1, keepdims=True)
    return [tuple(np.flatnonzero(row).tolist()) for row in nearest]


def site_labels(sites: int, defects: Sequence[DefectLabel]) -> NDArray[np.int8]:
    """Code of each site of a structure, [sites].

    0 pristine, 1 neighbor of a vacancy, 2 antisite, 3 substitution, 4 interstitial. An atom of a
    defect beside a vacancy has the code of its own defect.
    """
    codes = np.zeros(sites, dtype=np.int8)
    for defect in sorted(defects, key=lambda defect: defect.atom is not None):
        codes[list(defect.atoms)] = code_of(defect)
    return codes


def code_of(defect: DefectLabel) -> int:
    """Code of a defect's type: 1 vacancy, 2 antisite, 3 substitution, 4 interstitial."""
    return DEFECT_TYPES.index(defect.kind) + 1


def to_json(labels: Sequence[DefectLabel]) -> str:
    """Labels as a JSON list; `atom` and `neighbors` only where there are some."""
    return json.dumps(
        [
            {key: value for key, value in asdict(label).items() if value not in (None, ())}
            for label in labels
        ]
    )


def from_json(text: str) -> tuple[DefectLabel, ...]:
    """Read labels that `to_json` wrote."""
    return tuple(
        DefectLabel(
            kind=one["kind"],
            name=one["name"],
            position=tuple(one["position"]),
            atom=one.get("atom"),
            neighbors=tuple(one.get("neighbors", ())),
        )
        for one in json.loads(text)
    )
