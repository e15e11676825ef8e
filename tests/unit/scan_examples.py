"""Structures with a known defect, in every format, whole and damaged, for the tests of the scan."""

import gzip
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk, mx2

ODD = [b"nan", b"inf", b"-1", b"0", b"1e308", b"999999999999", b"1/3", b"?", b"'", b"{", b"]"]
ODD += [b"Xx", b"H", b"X", b"\x00", b"\xe9", "ﬁ".encode(), b"\n\n", b"\t", b"loop_", b"data_", b"T"]


def rock_salt() -> Atoms:
    """Return NaCl of 215 atoms with a vacant Na site, its atoms displaced a little."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    atoms.rattle(0.02, seed=1)
    del atoms[0]
    return atoms


def layer(size: int = 4) -> Atoms:
    """Return a MoSe2 layer in vacuum with a vacant Se site."""
    atoms = mx2("MoSe2", a=3.29, thickness=3.3, vacuum=8).repeat((size, size, 1))
    atoms.rattle(0.02, seed=2)
    del atoms[1]
    return atoms


def to_pymatgen(atoms: Atoms):
    """Return the structure as pymatgen has it."""
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)


def _ase(form: str, **options: object) -> Callable[[Path, Atoms], object]:
    return lambda path, atoms: ase.io.write(path, atoms, format=form, **options)


def _pymatgen(form: str) -> Callable[[Path, Atoms], object]:
    return lambda path, atoms: to_pymatgen(atoms).to(str(path), fmt=form)


def _pymatgen_json(path: Path, atoms: Atoms) -> None:
    path.write_text(json.dumps(to_pymatgen(atoms).as_dict()))


PSEUDO = {"pseudopotentials": {s: f"{s}.upf" for s in ("Na", "Cl", "Mo", "Se")}}
FORMATS: dict[str, Callable[[Path, Atoms], object]] = {
    "POSCAR": _ase("vasp"),
    "XDATCAR": lambda path, atoms: ase.io.write(path, [atoms, atoms], format="vasp-xdatcar"),
    "a.cif": _ase("cif"),
    "b.cif": _pymatgen("cif"),
    "a.xyz": _ase("extxyz"),
    "a.json": _ase("json"),
    "b.json": _pymatgen_json,
    "a.yaml": _pymatgen("yaml"),
    "a.traj": _ase("traj"),
    "a.db": _ase("db"),
    "a.cube": _ase("cube"),
    "a.xsf": _ase("xsf"),
    "a.pdb": _ase("proteindatabank"),
    "a.gen": _ase("gen"),
    "a.res": _ase("res"),
    "a.cssr": _pymatgen("cssr"),
    "a.pwi": _ase("espresso-in", **PSEUDO),
    "a.lmp": _ase("lammps-data", masses=True, atom_style="atomic"),
    "geometry.in": _ase("aims"),
}


def write_formats(folder: Path, atoms: Atoms) -> dict[str, Path]:
    """Write a structure in every format; return the files by name."""
    paths = {name: folder / name for name in FORMATS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, write in FORMATS.items():
            write(paths[name], atoms)
    return paths


def contents(folder: Path, atoms: Atoms) -> list[bytes]:
    """Return the whole files of a structure, and some of them compressed and in archives."""
    paths = write_formats(folder, atoms)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(paths["POSCAR"], "POSCAR")
        archive.write(paths["a.cif"], "a.cif")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        tar.add(paths["POSCAR"], "POSCAR")
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(paths["POSCAR"], "POSCAR")
    packed = [(folder / name).read_bytes() for name in ("a.zip", "a.tar.gz", "a.tar")]
    packed.append(gzip.compress(paths["a.xyz"].read_bytes()))
    return [path.read_bytes() for path in paths.values()] + packed


def damaged(contents: list[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield damaged copies: cut short, bytes changed, lines and words lost, doubled, exchanged."""
    random = np.random.default_rng(seed)
    ways = [_cut, _bytes, _lines, _words, _doubled, _spliced]
    for number in range(count):
        content = contents[number % len(contents)]
        for _ in range(random.integers(1, 3)):
            content = ways[random.integers(len(ways))](content, contents, random)
        yield content


def _cut(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content) + 1)]


def _bytes(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(random.integers(1, 20)):
        if changed:
            changed[random.integers(len(changed))] = random.integers(256)
    return bytes(changed)


def _lines(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    for _ in range(random.integers(1, 3)):
        place = random.integers(len(lines))
        lines[place : place + random.integers(0, 3)] = [lines[random.integers(len(lines))]]
    return b"\n".join(lines)


def _words(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    words = content.split(b" ")
    for _ in range(random.integers(1, 6)):
        words[random.integers(len(words))] = ODD[random.integers(len(ODD))]
    return b" ".join(words)


def _doubled(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    place = random.integers(len(content) + 1)
    return content[:place] + content + content[place:]


def _spliced(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    other = others[random.integers(len(others))]
    return content[: len(content) // 2] + other[random.integers(len(other) + 1) :]
