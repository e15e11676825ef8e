"""Hosts from an ASE database: C2DB of any release, or any other.

The current release has the key `uid` (`1MoS2-1`); those of 2018 to 2023 have `uid` in the form
`MoS2-b3b4685fb6e1`; a database without keys gets ids from what its structures are.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.db.row import AtomsRow
from ase.io.jsonio import decode

from defectpool.errors import DefectpoolError
from defectpool.materials.host import Candidate, Properties, Rejected


def candidates(path: Path, select: str = "") -> Iterator[Candidate | Rejected]:
    """Yield the rows of an ASE database in the order of their row ids.

    Parameters
    ----------
    path
        The database (SQLite or ASE's JSON form).
    select
        ASE select expression; a row that it leaves out is yielded as rejected ("select").

    Raises
    ------
    DefectpoolError
        If there is no such file, if it is no ASE database, or if ASE refuses the expression.
    """
    if not path.is_file():
        raise DefectpoolError(f"materials.path: there is no file {path}")
    with path.open("rb") as file:
        binary = file.read(15) == b"SQLite format 3"
    try:
        numbers = _sqlite_rows(path) if binary else (rows := _json_rows(path)).keys()
    except Exception as error:  # a file of any other kind
        raise DefectpoolError(f"{path}: not an ASE database ({error})") from error
    database = connect(path, type="db" if binary else "json")
    wanted = set(numbers)
    if select:
        try:
            chosen = database.select(select, columns=["id"], include_data=False)
            wanted = {row.id for row in chosen}
        except Exception as error:
            raise DefectpoolError(f"materials.select: ASE refuses {select!r} ({error})") from error
    with database if binary else nullcontext():
        for number in sorted(numbers):
            read = partial(database.get, id=number, include_data=False)
            if not binary:
                read = partial(AtomsRow, rows[number])
            yield _candidate(read, f"{path.name}#{number}", "" if number in wanted else select)


def scalars(values: dict[str, Any]) -> Properties:
    """Keep plain values: text, numbers and truth values."""
    plain: Properties = {}
    for key, value in values.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()  # half a character is none
        if isinstance(value, (str, bool, int, float)):
            plain[str(key)] = value
    return plain


def _sqlite_rows(path: Path) -> list[int]:
    """Row ids, asked without ASE, which would make the tables where they are missing."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM systems")]


def _json_rows(path: Path) -> dict[int, dict[str, Any]]:
    content = decode(path.read_text(encoding="utf-8"))
    rows = {key: row for key, row in content.items() if isinstance(key, int)}
    if not rows and "ids" not in content:
        raise ValueError("no rows")
    return rows


def _candidate(read: Callable[[], AtomsRow], source: str, excluded: str) -> Candidate | Rejected:
    try:
        row = read()
        properties = scalars(row.key_value_pairs)
        atoms = Atoms(row["numbers"], row.positions, cell=row.cell, pbc=row.pbc)
    except Exception as error:  # ASE and NumPy raise whatever a damaged row provokes
        return Rejected(source, "unreadable", f"{type(error).__name__}: {error}")
    uid = properties.pop("uid", None)
    name = None if uid in (None, "") else str(uid)
    if excluded:
        return Rejected(name or source, "select", f"not {excluded}")
    return Candidate(name, atoms, source, properties)
