"""Structure files: compressed extended XYZ, the same bytes for the same structures."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import nan
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.materials.extended_xyz import Value, read_frames, write_frame
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.disk import reading_error
from defectpool.structures.defect_labels import (
    DEFECT_TYPES,
    DefectLabel,
    from_json,
    labels_of,
    to_json,
)

# Values that every frame has, or that one of the attributes stands for.
TEXTS = (
    "structure", "pair", "host", "formula", "defect", "name", "supercell", "species", "replaced",
    "site_symmetry",
)  # fmt: skip
KNOWN = frozenset(
    {
        *TEXTS, "label", "defect_x", "defect_y", "defect_z", "defect_site", "multiplicity",
        "site_type", "free_radius", "displacements", "count", "defect_sites", "defects",
    }
)  # fmt: skip


@dataclass(frozen=True)
class DefectStructure:
    """A defective or pristine supercell with its metadata.

    Attributes
    ----------
    atoms
        The supercell; for the order of its sites see `defectpool.structures.supercell`.
    structure
        Unique id, `1MoS2-1:v_Mo.0:6x6`; the pristine supercell's ends in `:pristine`.
    pair
        Id that both structures of a pair share.
    host, formula
        Id and reduced formula of the host.
    defect, name
        Type of the defect and its name as pymatgen writes it.
    supercell
        Label of the supercell that was built.
    label
        1 for the defective supercell, 0 for the pristine one.
    species, replaced
        Species on the defect site, and species of the host on that site; "" for none.
    position
        Cartesian position of the (first) defect in Å, [3]; the same in both structures of a pair.
    defect_sites
        Indices in this frame of the defect's atoms, or, in a pristine supercell, of the atoms that
        are removed or replaced; empty where there is no atom (vacancy in the defective,
        interstitial in the pristine supercell).
    count
        Number of defects in the supercell.
    multiplicity, site_symmetry
        Equivalent sites in the host's cell, and the point group of each.
    site_type, free_radius
        Of an interstitial: void, hollow, ...; distance in Å to the nearest covalent sphere. "" and
        NaN for other defects.
    displacements
        Model by which the atoms are displaced, "thermal 300 K"; "none" where they are not.
        `position` is that of the defect before.
    labels
        All defects of a defective supercell, where the other values do not say all of them: with
        several defects, or with displaced atoms. `defects` always lists them.
    notes
        Further values that are written with the structure, by name: the strain that was drawn,
        the alloy, how far atoms moved.
    """

    atoms: Atoms
    structure: str
    pair: str
    host: str
    formula: str
    defect: str
    name: str
    supercell: str
    label: int
    species: str
    replaced: str
    position: NDArray[np.float64]
    defect_sites: tuple[int, ...]
    count: int
    multiplicity: int
    site_symmetry: str
    site_type: str = ""
    free_radius: float = nan
    displacements: str = "none"
    labels: tuple[DefectLabel, ...] = ()
    notes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def defect_site(self) -> int:
        """Index in this frame of the (first) defect's atom; -1 where there is none."""
        return self.defect_sites[0] if self.defect_sites else -1

    @property
    def defects(self) -> tuple[DefectLabel, ...]:
        """All defects of the structure; none in a pristine supercell."""
        if self.labels or not self.label:
            return self.labels
        site, position = self.defect_site, self.position[None]
        return labels_of(self.atoms, [self.defect], [self.name], position, [site])

    @property
    def defect_positions(self) -> NDArray[np.float64]:
        """Ideal positions of all defects in Å, [defects, 3]; of the first one in pristine."""
        found = [defect.position for defect in self.defects]
        return np.array(found) if found else self.position[None]


@dataclass(frozen=True)
class Skipped:
    """A structure that was not built: a reason code, and the explanation."""

    host: str
    defect: str
    supercell: str
    name: str
    reason: str
    message: str


def write_structures(path: Path, structures: Iterable[DefectStructure]) -> None:
    """Write structures in the order given, as extended XYZ compressed by gzip."""
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        for structure in structures:
            atoms = structure.atoms
            write_frame(
                file, atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, _info(structure)
            )


def _info(s: DefectStructure) -> dict[str, Value]:
    x, y, z = s.position.tolist()
    info: dict[str, Value] = {
        "structure": s.structure,
        "pair": s.pair,
        "host": s.host,
        "formula": s.formula,
        "defect": s.defect,
        "name": s.name,
        "supercell": s.supercell,
        "label": s.label,
        "species": s.species,
        "replaced": s.replaced,
        "defect_x": x,
        "defect_y": y,
        "defect_z": z,
        "defect_site": s.defect_site,
        "multiplicity": s.multiplicity,
        "site_symmetry": s.site_symmetry,
    }
    if s.defect == "interstitial":
        info |= {"site_type": s.site_type, "free_radius": s.free_radius}
    if s.displacements != "none":
        info["displacements"] = s.displacements
    if s.count > 1:
        info |= {"count": s.count, "defect_sites": " ".join(map(str, s.defect_sites))}
    if s.count > 1 or s.displacements != "none" or s.defect not in DEFECT_TYPES:
        info["defects"] = to_json(s.labels)
    return {**info, **s.notes}


def read_structures(path: Path) -> Iterator[DefectStructure]:
    """Read structures that `write_structures` wrote, one by one, with the same bits.

    Raises
    ------
    DefectpoolError
        If the file is cut short or is not a file of structures.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for frame in read_frames(file):
                info = frame.info
                site = int(info["defect_site"])
                sites = str(info.get("defect_sites", site if site >= 0 else ""))
                yield DefectStructure(
                    atoms=Atoms(
                        numbers=frame.numbers,
                        positions=frame.positions,
                        cell=frame.cell,
                        pbc=frame.pbc,
                    ),
                    label=int(info["label"]),
                    position=np.array([float(info[f"defect_{axis}"]) for axis in "xyz"]),
                    defect_sites=tuple(int(word) for word in sites.split()),
                    count=int(info.get("count", 1)),
                    multiplicity=int(info["multiplicity"]),
                    site_type=str(info.get("site_type", "")),
                    free_radius=float(info.get("free_radius", nan)),
                    displacements=str(info.get("displacements", "none")),
                    labels=from_json(str(info.get("defects", "[]"))),
                    notes={key: info[key] for key in info if key not in KNOWN},
                    **{key: str(info[key]) for key in TEXTS},
                )
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OSError, zlib.error) as error:
        raise reading_error(error, path) or DefectpoolError(
            f"{path}: damaged file of structures ({error}); delete it and run again"
        ) from error


def write_skipped(path: Path, skipped: Iterable[Skipped]) -> None:
    """Write the structures that were not built, as CSV with a header."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Skipped)])
        for row in skipped:
            writer.writerow([getattr(row, field.name) for field in fields(Skipped)])
