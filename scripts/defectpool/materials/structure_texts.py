"""Texts of single structures in a file, and their sites counted before they are parsed."""

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from defectpool.materials.host import BadStructure
from defectpool.materials.slab import MAX_ATOMS

MAX_TEXT = 4 * 2**20  # bytes of one structure; 2,000 sites take 0.2 MB
MAX_STRUCTURES = 50_000  # in one file; all of C2DB has 17,000
MAX_VALUES = 5_000_000  # in a JSON file; in memory each takes up to 64 bytes
MAX_OPERATIONS = 100_000  # sites times symmetry operations of a CIF; ASE applies each in Python

COUNT = re.compile(rb"\s*\d{1,18}\s*")
COLUMNS = re.compile(rb":[A-Za-z]:(\d+)")
MAX_COLUMNS = 1000  # of an extended XYZ; positions, forces and some more take a dozen
CIF_BLOCK = re.compile(rb"^;.*?(?:^;|\Z)|^[ \t]*data_", re.MULTILINE | re.DOTALL | re.IGNORECASE)
CIF_LINE = re.compile(rb"[^\r\n]+")
CIF_SITES = re.compile(rb"_atom_site_(fract|cartn)_x")
CIF_GROUP = re.compile(
    rb"^[ \t]*_(?:space_group|symmetry)_(?:IT_number|Int_Tables_number|name_H-M(?:_alt)?)[ \t]+"
    rb"(?!['\"]?P[ ]?1['\"]?[ \t\r]*$|1[ \t\r]*$)\S",
    re.MULTILINE | re.IGNORECASE,
)
CIF_OPERATIONS = re.compile(rb"_(space_group_symop_operation|symmetry_equiv_pos_as)_xyz")


def split(path: Path, form: str) -> Iterator[bytes]:
    """Yield the text of each structure of a CIF, POSCAR or extended XYZ file.

    Of a structure that is too large for any reader only the first `MAX_TEXT` bytes and one more
    are given, so that no file fills the memory.
    """
    return {"cif": _cif_blocks, "extxyz": _xyz_frames, "vasp": _whole}[form](path)


def check_size(text: bytes, form: str) -> None:
    """Count the sites of a structure without parsing it.

    Raises
    ------
    BadStructure
        "too_large".
    """
    sites, operations = _cif_loops(text) if form == "cif" else (_claimed_sites(text, form), 1)
    if sites > MAX_ATOMS:
        raise BadStructure("too_large", f"{sites} atoms or more, the limit is {MAX_ATOMS}")
    if sites * operations > MAX_OPERATIONS:
        message = f"{sites} sites times {operations} operations, the limit is {MAX_OPERATIONS}"
        raise BadStructure("too_large", message)
    if form == "extxyz" and (columns := _columns(text)) > MAX_COLUMNS:
        raise BadStructure("too_large", f"{columns} columns, the limit is {MAX_COLUMNS}")
    if len(text) > MAX_TEXT:
        raise BadStructure("too_large", f"one structure has more than {MAX_TEXT} bytes of text")


def check_json(path: Path) -> None:
    """Count the values of a JSON file without parsing it.

    Raises
    ------
    BadStructure
        "too_large".
    """
    content = path.read_bytes()
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    if values > MAX_VALUES:
        raise BadStructure("too_large", f"{values} values, the limit is {MAX_VALUES}")


def _whole(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if text := file.read(MAX_TEXT + 1):
            yield text


def _cif_blocks(path: Path) -> Iterator[bytes]:
    """Yield the data blocks of a CIF that have atoms."""
    content = path.read_bytes()
    found = (m.start() for m in CIF_BLOCK.finditer(content) if not m[0].startswith(b";"))
    start = next(found, 0)
    for end in chain(found, [len(content)]):
        block = content[start : min(end, start + MAX_TEXT + 1)]
        if b"_atom_site_" in block.lower():
            yield block
        start = end


def _cif_loops(text: bytes) -> tuple[int, int]:
    """Rows of the loop of atom sites and number of symmetry operations.

    A group that is only named counts with the largest number of operations, 192.
    """
    sites = operations = rows = 0
    headers: list[bytes] = []
    in_loop = False

    for match in CIF_LINE.finditer(text + b"\nloop_"):
        line = match[0].strip().lower()
        if not line or line.startswith(b"#"):
            continue
        if in_loop and not rows and line.startswith(b"_"):
            headers.append(line)
        elif line.startswith((b"loop_", b"_", b"data_")):
            joined = b" ".join(headers)
            sites += rows if CIF_SITES.search(joined) else 0
            operations += rows if CIF_OPERATIONS.search(joined) else 0
            headers, rows, in_loop = [], 0, line.startswith(b"loop_")
        elif in_loop:
            rows += 1
    named = 192 if CIF_GROUP.search(text) else 1
    return sites, operations or named


def _claimed_sites(text: bytes, form: str) -> int:
    """Read the number of atoms that a POSCAR or a frame of extended XYZ gives, 0 if none."""
    lines = text.split(b"\n", 8)
    for line in lines[5:7] if form == "vasp" else lines[:1]:
        words = line.partition(b"!")[0].split()[:1000]
        try:
            if counts := [abs(int(word[:20])) for word in words]:
                return sum(counts)
        except ValueError:
            continue
    return 0


def _columns(text: bytes) -> int:
    """Read the number of columns that the second line of an extended XYZ gives."""
    comment = text.partition(b"\n")[2].partition(b"\n")[0]
    return sum(int(digits[:18]) for digits in COLUMNS.findall(comment[:MAX_TEXT]))


def _xyz_frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while frame := _xyz_frame(file):
            yield frame


def _xyz_frame(file: BinaryIO) -> bytes:
    """Read one frame; what follows one that has no count of atoms or no end cannot be read."""
    head = file.readline(MAX_TEXT)
    if not head.strip():
        return b""  # ASE ends at an empty line, too
    count = int(head) if COUNT.fullmatch(head) else -1
    if count < 0:
        text = head + file.read(MAX_TEXT)
        file.seek(0, os.SEEK_END)
        return text
    lines, size = [head], len(head)
    for _ in range(count + 1):
        line = file.readline(MAX_TEXT + 1)
        if not line:
            break
        if size <= MAX_TEXT:
            lines.append(line)
        size += len(line)
        if len(line) > MAX_TEXT:
            file.seek(0, os.SEEK_END)
    return b"".join(lines)
