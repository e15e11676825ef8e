"""A host monolayer, and the files that hold many."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from ase import Atoms

from defectpool.errors import DefectpoolError
from defectpool.materials.extended_xyz import Value, read_frames, write_frame
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.hashing import content_id

Properties = dict[str, Value]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
LONGEST_NAME = 80
OWN = ("id", "formula", "source")


@dataclass(frozen=True)
class Host:
    """A monolayer that defects are put into.

    Attributes
    ----------
    id
        Unique and stable, such as the C2DB uid `1MoS2-1`; safe as the name of a file.
    atoms
        The slab: a and b periodic with a along x, vacuum along c, centered; pbc is (True, True,
        False).
    formula
        Reduced formula as pymatgen writes it; all polymorphs share it.
    source
        File, row or address that it came from.
    properties
        Properties that the source gives, for instance ehull (eV/atom), layergroup, doi.
    """

    id: str
    atoms: Atoms
    formula: str
    source: str
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A structure as read from a source; `id` is None where the source has no name for it."""

    id: str | None
    atoms: Atoms
    source: str
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Rejected:
    """A structure that is left out: its id or place in the source, a reason code and a message."""

    id: str
    reason: str
    message: str


class BadStructure(ValueError):  # noqa: N818 - recorded in a table, not a failure
    """A structure that cannot be a host, with its reason code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def in_words(error: Exception) -> str:
    """Describe what a reader raised, on one line of bounded length."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text: byte 0x{error.object[error.start]:02x} at {error.start}"
    if isinstance(error.__cause__, StopIteration):
        return "the structure is cut short"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = " ".join(str(error).split())[:300]
    if isinstance(error, KeyError):
        return f"{text} is missing or not known"
    return f"{type(error).__name__}: {text}" if text else "inconsistent values"


def safe_id(name: str) -> str:
    """Turn a name into an id that is safe in file names; a name that is safe stays as it is.

    A changed name gets a piece of its hash, so that two names never become one.
    """
    if NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    name = name.encode("utf-8", "backslashreplace").decode()
    clean = re.sub(r"[^A-Za-z0-9_.+=-]+", "_", name).strip("._+=-")[: LONGEST_NAME - 9]
    return f"{clean or 'host'}-{content_id(name, length=8)}"


def content_name(formula: str, atoms: Atoms) -> str:
    """Id of a structure that has no name: its formula and a hash of its content.

    Cell and positions count to 1e-5 Å, as given in the source, so that the id does not depend
    on the row or file that holds the structure.
    """
    lengths = np.vstack([atoms.cell.array, atoms.positions]).round(5) + 0.0
    return f"{formula}-{content_id(atoms.numbers.tolist(), lengths.tolist())}"


def write_host(file: TextIO, host: Host) -> None:
    """Append one host to an open extended XYZ file."""
    info: Properties = {"id": host.id, "formula": host.formula, "source": host.source}
    info |= {key: host.properties[key] for key in sorted(host.properties)}
    atoms = host.atoms
    write_frame(file, atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, info)


def write_hosts(path: Path, hosts: Sequence[Host]) -> None:
    """Write hosts as extended XYZ, one frame a host, in the order given."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for host in hosts:
            write_host(file, host)


def read_hosts(path: Path) -> list[Host]:
    """Read hosts that `write_hosts` wrote, with the same bits.

    Raises
    ------
    DefectpoolError
        If the file is damaged or is not a file of hosts.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return list(iterate_hosts(file))
    except (ValueError, KeyError) as error:
        raise DefectpoolError(
            f"{path}: damaged file of hosts ({error}); delete it and run again"
        ) from error


def iterate_hosts(file: TextIO) -> Iterator[Host]:
    """Read hosts one by one from an open file; ValueError or KeyError where it is damaged."""
    for frame in read_frames(file):
        info = frame.info
        yield Host(
            str(info["id"]),
            Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc),
            str(info["formula"]),
            str(info["source"]),
            {key: value for key, value in info.items() if key not in OWN},
        )
