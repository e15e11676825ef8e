"""Pristine supercell of a defective one, for programs that want a reference.

It has the lattice, the origin and the order of atoms of the structure that was scanned, so that
doped, pymatgen-analysis-defects, pydefect and OVITO match them site by site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defectpool.runtime.atomic_write import replacing
from defectpool.scan.result import Result

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.lattice import Host

SUFFIXES = {"poscar": ".vasp", "cif": ".cif"}


def pristine(host: Host) -> Atoms:
    """Pristine supercell of a host.

    Parameters
    ----------
    host
        The host, as `analyze` found it.

    Returns
    -------
    Atoms
        One atom on each site: first those of each species that the structure has, in its order,
        each followed by those of its species that it lacks.
    """
    from ase import Atoms

    order = site_order(np.asarray(host.atom_of_site), np.asarray(host.pristine_numbers))
    return Atoms(
        np.asarray(host.pristine_numbers)[order],
        np.asarray(host.pristine_positions)[order],
        cell=host.pristine_cell,
        pbc=host.pbc,
    )


def site_order(atom_of_site: NDArray[np.integer], numbers: NDArray[np.integer]) -> NDArray[np.intp]:
    """Order of sites that follows the order of atoms.

    Parameters
    ----------
    atom_of_site
        Row of the atom on each site, -1 for a vacancy [sites].
    numbers
        Atomic number of each site [sites].

    Returns
    -------
    ndarray
        Sites [sites]: by the row of their atom; an empty site comes after the last site of its
        species that has an atom, at the end where there is none.
    """
    rows = np.where(atom_of_site < 0, len(numbers) + len(atom_of_site), atom_of_site).astype(float)
    for number in np.unique(numbers):
        own = numbers == number
        filled = own & (atom_of_site >= 0)
        if filled.any():
            rows[own & ~filled] = atom_of_site[filled].max() + 0.5
    return np.argsort(rows, kind="stable")


def write(result: Result, folder: Path, form: str = "poscar") -> Path | None:
    """Write the pristine supercell of a result.

    Parameters
    ----------
    result
        The result; without a host nothing is written.
    folder
        Folder for the file; it is made if it is missing.
    form
        poscar or cif.

    Returns
    -------
    Path or None
        The file: the name of the structure with `_pristine` and a suffix.
    """
    if result.finding is None or result.finding.host is None:
        return None
    path = folder / f"{file_stem(result.name)}_pristine{SUFFIXES[form]}"
    write_structure(pristine(result.finding.host), path, form)
    return path


def write_all(results: Iterable[Result], folder: Path, form: str) -> Iterator[Result]:
    """Pass results on, with the pristine supercell of each written to a folder."""
    for result in results:
        write(result, folder, form)
        yield result


def write_structure(atoms: Atoms, path: Path, form: str) -> None:
    """Write a structure as POSCAR or CIF, in the order of its atoms."""
    with replacing(path) as temporary:
        if form == "poscar":
            from ase.io.vasp import write_vasp

            with temporary.open("w", encoding="utf-8") as file:
                write_vasp(file, atoms, direct=True, sort=False)
        else:
            from pymatgen.io.ase import AseAtomsAdaptor
            from pymatgen.io.cif import CifWriter

            crystal = AseAtomsAdaptor.get_structure(atoms)
            text = str(CifWriter(crystal, significant_figures=12))
            temporary.write_text(text, encoding="utf-8")


def file_stem(name: str) -> str:
    """Return a name for a file, made of a path with its folders and its frame."""
    plain = re.sub(r"[^\w.+-]+", "_", name.strip("/.")).strip("_")
    return plain or "structure"
