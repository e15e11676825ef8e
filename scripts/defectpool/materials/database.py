"""Hosts from an ASE database: C2DB of any release, or any other.

The current release has the key `uid` (`1MoS2-1`); those of 2018 to 2023 have `uid` in the form
`MoS2-b3b4685fb6e1`; a database without keys gets ids from what its structures are.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.db.core import Database

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
    database = _open(path)
    try:
        rows = [row.id for row in database.select(columns=["id"], include_data=False)]
        wanted = set(rows)
        if select:
            chosen = database.select(select, columns=["id"], include_data=False)
            wanted = {row.id for row in chosen}
    except Exception as error:
        what = f"materials.select: {select!r} is refused" if select else "the rows cannot be listed"
        raise DefectpoolError(f"{path}: {what} by ASE ({error})") from error
    with database:
        for number in sorted(rows):
            yield _candidate(database, path, number, select if number not in wanted else "")


def scalars(values: dict[str, Any]) -> Properties:
    """Keep plain values: text, numbers and truth values."""
    plain: Properties = {}
    for key, value in values.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, (str, bool, int, float)):
            plain[str(key)] = value
    return plain


def _open(path: Path) -> Database:
    """Open without ever writing: ASE would make the file, or its tables, where they are missing."""
    if not path.is_file():
        raise DefectpoolError(f"materials.path: there is no file {path}")
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        try:
            with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
                connection.execute("SELECT id FROM systems LIMIT 1")
        except sqlite3.Error as error:
            raise DefectpoolError(f"{path}: not an ASE database ({error})") from error
        return connect(path, type="db")
    if head.lstrip().startswith(b"{"):
        return connect(path, type="json")
    raise DefectpoolError(f"{path}: not an ASE database (neither SQLite nor JSON)")


def _candidate(database: Database, path: Path, number: int, excluded: str) -> Candidate | Rejected:
    source = f"{path.name}#{number}"
    try:
        row = database.get(id=number, include_data=False)
        properties = scalars(row.key_value_pairs)
        atoms = Atoms(row.numbers, row.positions, cell=row.cell, pbc=row.pbc)
    except Exception as error:  # ASE and NumPy raise whatever a damaged row provokes
        return Rejected(source, "unreadable", f"{type(error).__name__}: {error}")
    uid = properties.pop("uid", None)
    name = None if uid in (None, "") else str(uid)
    if excluded:
        return Rejected(name or source, "select", f"not {excluded}")
    return Candidate(name, atoms, source, properties)
