"""Format of a structure file, told by its content first and by its name second.

A POSCAR can be called anything, so the first lines decide wherever they can. Only formats that
are read without executing anything are ever named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

HEAD = 65536  # bytes that are looked at
COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
BINARY = (
    (b"SQLite format 3\x00", "db"),
    (b"- of UlmASE-Trajectory", "traj"),
    (b"AFFormatASE-Trajectory", "traj"),
    (b"CDF", "netcdftrajectory"),
)
PICKLE = re.compile(rb"\x80[\x02-\x05]")
PICKLE_SUFFIXES = (".pckl", ".pickle", ".pkl")
# They run what they hold, connect to a server, or hold no structure.
REFUSED = frozenset({"py", "mysql", "postgresql", "bundletrajectory", "gpw", "html", "x3d", "gif"})
NAMES = re.compile(
    r".*(POSCAR|CONTCAR|XDATCAR|OUTCAR|CHGCAR|vasprun).*|geometry\.in|atom\.config|bestsqs\.out"
    r"|.*\.(cif|mcif|vasp|poscar|xyz|extxyz|traj|db|json|yaml|yml|cube|xsf|axsf|pdb|gen|res|cell|cssr"
    r"|lammps|lmp|dump|lammpstrj|xsd|xtd|data|lammps-data|pwi|pwo|con|cfg|gro)",
    re.IGNORECASE,
)
PYMATGEN = {".cssr": "cssr", "atom.config": "pwmat", "bestsqs.out": "mcsqs"}
LAMMPS_ATOMS = re.compile(r"^\s*\d+\s+atoms\b", re.MULTILINE)
FIRST_CELL = re.compile(r"^\s*(lattice_vector|atom_frac|atom)\s+[-+.\d]", re.MULTILINE)


class UnreadableError(Exception):
    """Reason, in one line, why a file or a structure of it cannot be read."""


def compression(head: bytes) -> str:
    """Compression of a file by its first bytes: gzip, bzip2, xz, zstandard, or empty."""
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), "")


def archive(head: bytes) -> str:
    """Archive format of a file by its first bytes: zip, tar, or empty."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else ""


def plain_name(name: str) -> str:
    """Name of a file without its folders and without the suffix of a compression."""
    base = PurePosixPath(name.replace("\\", "/")).name
    for suffix in COMPRESSED_SUFFIXES:
        if base.lower().endswith(suffix):
            return base[: -len(suffix)]
    return base


def known_name(name: str) -> bool:
    """Whether a name promises a structure, or an archive of structures."""
    base = plain_name(name)
    return bool(NAMES.fullmatch(base)) or base.lower().endswith((".zip", ".tar", ".tgz"))


def detect(name: str, head: bytes) -> str:
    """Format of an uncompressed file.

    Parameters
    ----------
    name
        Name of the file; it decides only where the content does not.
    head
        The first `HEAD` bytes.

    Returns
    -------
    str
        ASE's name of the format, or `pymatgen:<name>` or `yaml` for what pymatgen reads.

    Raises
    ------
    UnreadableError
        For an empty file, a pickle, a binary file and a text that is of no known format.
    """
    if not head.strip():
        raise UnreadableError("the file is empty")
    base = plain_name(name)
    if PICKLE.match(head) or base.lower().endswith(PICKLE_SUFFIXES):
        raise UnreadableError("a pickle, which can run code when it is read; refused")
    for magic, binary in BINARY:
        if head.startswith(magic):
            return binary
    if b"\x00" in head:
        raise UnreadableError("a binary file of no known structure format")
    found = by_content(head) or _by_name(base, head)
    if not found:
        raise UnreadableError("no structure format that ASE or pymatgen reads is recognized")
    return found


def by_content(head: bytes) -> str:
    """Format of a text by its first lines, empty where they do not tell."""
    text = head.decode("utf-8-sig", "replace")
    lines = text.splitlines()
    return next((name for name, test in CONTENT if test(text, lines)), "")


def announced_atoms(name: str, head: bytes) -> int:
    """Return the number of atoms that a file's first lines announce, 0 where they do not."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    try:
        if name in ("vasp", "vasp-xdatcar"):
            counts = lines[5].split()
            counts = counts if counts[0].isdigit() else lines[6].split()
            return sum(int(word) for word in counts if word.isdigit())
        if name in ("xyz", "extxyz"):
            return int(lines[0])
        if name == "cube":
            return abs(int(lines[2].split()[0]))
        if name == "lammps-dump-text":
            return int(lines[lines.index("ITEM: NUMBER OF ATOMS") + 1])
        if name == "lammps-data" and (found := LAMMPS_ATOMS.search("\n".join(lines))):
            return int(found[0].split()[0])
    except (IndexError, ValueError):
        pass
    return 0


def names_elements(name: str, head: bytes) -> bool:
    """Whether a LAMMPS file says which elements its atom types are."""
    text = head.decode("utf-8", "replace")
    if name == "lammps-data":
        return bool(re.search(r"^\s*Masses\b", text, re.M))
    columns = re.search(r"^ITEM: ATOMS (.*)$", text, re.M)
    return bool(columns) and "element" in columns[1].split()  # type: ignore[index]


def _by_name(base: str, head: bytes) -> str:
    lower = base.lower()
    for end, name in PYMATGEN.items():
        if lower.endswith(end):
            return f"pymatgen:{name}"
    if lower.endswith((".yaml", ".yml")):
        return "yaml"
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats, match_magic

    try:
        found = match_magic(head).name
    except UnknownFileTypeError:
        try:
            found = filetype(base, read=False, guess=False)
        except UnknownFileTypeError:
            return ""
    return found if found not in REFUSED and ioformats[found].can_read else ""


def _numbers(line: str) -> list[float]:
    """Return the leading numbers of a line."""
    found: list[float] = []
    for word in line.split():
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def _is_poscar(text: str, lines: Sequence[str]) -> bool:
    if len(lines) < 8 or len(lines[1].split()) not in (1, 3):
        return False
    scale = len(_numbers(lines[1])) == len(lines[1].split())
    vectors = all(len(_numbers(line)) >= 3 for line in lines[2:5])
    words = lines[5].split()
    species = all(w.isdigit() for w in words) or all(w[0].isalpha() for w in words)
    return scale and vectors and bool(words) and species


def _is_xdatcar(text: str, lines: Sequence[str]) -> bool:
    return _is_poscar(text, lines) and bool(re.search(r"^(Direct|Cart\w*) conf", text, re.M))


def _is_xyz(text: str, lines: Sequence[str]) -> bool:
    if len(lines) < 2 or not lines[0].strip().isdigit():
        return False
    if "Properties=" in lines[1] or "Lattice=" in lines[1]:
        return True
    return len(lines) > 2 and bool(re.match(r"\s*[A-Za-z]+\d*(\s+[-+.\deE]+){3}", lines[2]))


def _is_cube(text: str, lines: Sequence[str]) -> bool:
    grid = [_numbers(line) for line in lines[2:6]]
    return len(grid) == 4 and all(len(row) in (4, 5) and row[0] == int(row[0]) for row in grid)


def _is_lammps_data(text: str, lines: Sequence[str]) -> bool:
    return bool(LAMMPS_ATOMS.search(text)) and "xlo" in text


def _is_aims(text: str, lines: Sequence[str]) -> bool:
    return bool(FIRST_CELL.search(text)) and "lattice_vector" in text


def _is_cif(text: str, lines: Sequence[str]) -> bool:
    lower = text.lower()
    return bool(re.search(r"^\s*data_", lower, re.M)) and ("_cell_" in lower or "_atom_" in lower)


def _is_res(text: str, lines: Sequence[str]) -> bool:
    return bool(re.match(r"\s*TITL\b", text)) and "\nCELL" in text


def _begins(*beginnings: str) -> Callable[[str, Sequence[str]], bool]:
    return lambda text, lines: text.lstrip().startswith(beginnings)


def _has(pattern: str) -> Callable[[str, Sequence[str]], bool]:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda text, lines: bool(compiled.search(text))


# The first test that holds decides.
CONTENT: tuple[tuple[str, Callable[[str, Sequence[str]], bool]], ...] = (
    ("json", _begins("{", "[")),
    ("gen", _has(r"\A\s*\d+\s+[SF]\s*$")),
    ("vasp-xdatcar", _is_xdatcar),
    ("vasp", _is_poscar),
    ("extxyz", _is_xyz),
    ("cif", _is_cif),
    ("vasp-xml", _has(r"\A\s*(<\?xml[^>]*>\s*)?<modeling>")),
    ("lammps-dump-text", _begins("ITEM: TIMESTEP")),
    ("cube", _is_cube),
    ("xsf", _has(r"^\s*(ANIMSTEPS|CRYSTAL|SLAB)\b.*\n(.*\n)*?\s*(PRIMVEC|PRIMCOORD)")),
    ("lammps-data", _is_lammps_data),
    ("res", _is_res),
    ("proteindatabank", _has(r"\A(.*\n){0,50}?CRYST1\s")),
    ("castep-cell", _has(r"^\s*%BLOCK\s+LATTICE_(CART|ABC)")),
    ("espresso-in", _has(r"^\s*&system\b")),
    ("aims", _is_aims),
    ("vasp-out", _has(r"\A\s*vasp\.\d")),
)
