"""Hosts from an ASE database: C2DB of any release, or any other.

The current release has the key `uid` (`1MoS2-1`); those of 2018 to 2023 have `uid` in the form
`MoS2-b3b4685fb6e1`; a database without keys gets ids from the content of its structures.
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
from defectpool.materials.host import Candidate, Properties, Rejected, in_words
from defectpool.materials.structure_texts import check_json

MAX_ROW = 4 * 2**20  # bytes without the column of results; a structure has a few thousand
COLUMNS = (
    "numbers",
    "positions",
    "cell",
    "key_value_pairs",
    "constraints",
    "calculator_parameters",
)


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
        If there is no such file, if it is not an ASE database, or if ASE refuses the expression.
    """
    if not path.is_file():
        raise DefectpoolError(f"materials.path: there is no file {path}")
    rows: dict[int, dict[str, Any]] = {}
    try:
        with path.open("rb") as file:
            binary = file.read(15) == b"SQLite format 3"
        if binary:
            sizes = _sqlite_sizes(path)
        else:
            rows = _json_rows(path)
            sizes = dict.fromkeys(rows, 0)
    except Exception as error:  # a file of any other format
        raise DefectpoolError(f"{path}: not an ASE database ({in_words(error)})") from error
    database = connect(path, type="db" if binary else "json")
    wanted = _matching(database, select) if select else set(sizes)
    with database if binary else nullcontext():
        for number, size in sorted(sizes.items()):
            source = f"{path.name}#{number}"
            if size > MAX_ROW:
                yield Rejected(
                    source, "too_large", f"the row has {size} bytes, more than {MAX_ROW}"
                )
                continue
            read = partial(database.get, id=number, include_data=False)
            if not binary:
                read = partial(AtomsRow, rows[number])
            yield _candidate(read, source, "" if number in wanted else select)


def scalars(values: dict[str, Any]) -> Properties:
    """Keep plain values: text, numbers and truth values."""
    plain: Properties = {}
    for key, value in values.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()  # lone surrogates cannot be written
        if isinstance(value, (str, bool, int, float)):
            plain[str(key)] = value
    return plain


def _matching(database: Any, select: str) -> set[int]:
    """Ids of the rows that an ASE select expression keeps."""
    try:
        return {row.id for row in database.select(select, columns=["id"], include_data=False)}
    except Exception as error:  # ASE raises several types for an expression that it cannot parse
        raise DefectpoolError(f"materials.select: ASE refuses {select!r} ({error})") from error


def _sqlite_sizes(path: Path) -> dict[int, int]:
    """Row ids and the bytes of each row, asked without ASE, which would create missing tables."""
    total = " + ".join(f"ifnull(length({column}), 0)" for column in COLUMNS)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10 * MAX_ROW)
        form = connection.execute("SELECT type FROM sqlite_master WHERE name = 'systems'")
        if form.fetchone() != ("table",):  # a view could go on forever
            raise ValueError("no table of systems")
        return dict(connection.execute(f"SELECT id, {total} FROM systems"))


def _json_rows(path: Path) -> dict[int, dict[str, Any]]:
    check_json(path)
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
        return Rejected(source, "unreadable", in_words(error))
    uid = properties.pop("uid", None)
    name = None if uid in (None, "") else str(uid)
    if excluded:
        return Rejected(name or source, "select", f"not {excluded}")
    return Candidate(name, atoms, source, properties)
