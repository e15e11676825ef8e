"""From any source to checked hosts in a fixed number of shards.

The source is read once, host by host. What is sane goes to a temporary SQLite file, which finds
duplicate ids, draws the sample and gives the hosts back in order, so memory does not grow with
the source.
"""

import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.files import replacing
from defectpool.identity import seed, shard_labels, shard_of
from defectpool.materials import filters, slab
from defectpool.materials.host import (
    BadStructure,
    Candidate,
    Host,
    Rejected,
    content_name,
    safe_id,
    write_host,
)

SELECTED = ("id", "formula", "layergroup", "natoms", "source", "properties")
REJECTED = ("id", "reason", "message")
SCHEMA = """
CREATE TABLE host (
    id TEXT PRIMARY KEY, draw INTEGER, shard INTEGER, bucket TEXT, row TEXT, frame TEXT,
    taken INTEGER DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE rejected (id TEXT, reason TEXT, message TEXT);
"""


@dataclass(frozen=True)
class Summary:
    """What became of the source: hosts seen, selected, and rejected by reason."""

    seen: int
    selected: int
    rejected: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{self.selected} of {self.seen} structures selected"]
        lines += [f"{count:>8} {reason}" for reason, count in self.rejected.items()]
        return "\n".join(lines)


def select_hosts(
    settings: MaterialsSettings, shards: int, directory: Path, vacuum: float = 8.0
) -> Summary:
    """Write selected.csv, rejected.csv and hosts/<shard>.xyz.

    Parameters
    ----------
    settings
        Source, filters and sample.
    shards
        Number of shards; every one is written, an empty one as an empty file.
    directory
        Where the files go.
    vacuum
        Least empty space in Å between a layer and its image; give the radius of the graphs.

    Raises
    ------
    DefectpoolError
        If the source cannot be read at all, or if no host is left: the message says what left out
        how many.
    """
    with (
        tempfile.TemporaryDirectory(prefix="defectpool-") as scratch,
        closing(sqlite3.connect(Path(scratch) / "hosts.db")) as store,
    ):
        store.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        for candidate in _source(settings):
            _admit(store, candidate, settings, shards, vacuum)
        _draw(store, settings.limit)
        summary = _summarize(store)
        if not summary.selected:
            reasons = ", ".join(f"{reason} {count}" for reason, count in summary.rejected.items())
            raise DefectpoolError(
                f"no host is left of {summary.seen} from materials.source: {settings.source} "
                f"(left out by: {reasons or 'nothing, the source is empty'}); "
                "loosen these keys of materials"
            )
        _write(store, shards, directory)
    return summary


def _source(settings: MaterialsSettings) -> Iterator[Candidate | Host | Rejected]:
    path = Path(settings.path or "")
    if settings.source == "embedded":
        from defectpool.materials import embedded

        return embedded.hosts()
    if settings.source == "database":
        from defectpool.materials import database

        return database.candidates(path, settings.select)
    raise DefectpoolError(f"materials.source: {settings.source} is not ready yet")


def _admit(
    store: sqlite3.Connection,
    candidate: Candidate | Host | Rejected,
    settings: MaterialsSettings,
    shards: int,
    vacuum: float,
) -> None:
    """Keep a candidate, or the reason why not."""
    if isinstance(candidate, Rejected):
        _reject(store, candidate.id, candidate.reason, candidate.message)
        return
    try:
        host = _host(candidate, settings, vacuum)
    except BadStructure as error:
        _reject(store, candidate.id or candidate.source, error.reason, str(error))
        return
    number, symbol, primitive = slab.layer_group(host.atoms)
    properties = {"lgnum": number, "layergroup": symbol} | host.properties
    host = replace(host, properties=properties)
    row = (
        host.id,
        host.formula,
        properties["layergroup"],
        len(host.atoms),
        host.source,
        json.dumps(properties, sort_keys=True),
    )
    frame = io.StringIO()
    write_host(frame, host)
    try:
        store.execute(
            "INSERT INTO host (id, draw, shard, bucket, row, frame) VALUES (?, ?, ?, ?, ?, ?)",
            (
                host.id,
                seed(settings.seed, host.id),
                shard_of(host.id, shards),
                f"{host.formula} {primitive} {number}",
                json.dumps(row),
                frame.getvalue(),
            ),
        )
    except sqlite3.IntegrityError:
        _reject(store, host.id, "duplicate_id", f"{host.source}: the id is taken already")


def _host(candidate: Candidate | Host, settings: MaterialsSettings, vacuum: float) -> Host:
    """Check a candidate and bring it to the standard setting."""
    from pymatgen.core import Composition

    properties = filters.normalize(candidate.properties)
    filters.check(candidate.atoms, properties, settings)
    atoms = slab.standardize(candidate.atoms, vacuum)
    formula = Composition(atoms.get_chemical_formula()).reduced_formula
    name = candidate.id or content_name(formula, candidate.atoms)
    return Host(safe_id(name), atoms, formula, candidate.source, properties)


def _reject(store: sqlite3.Connection, name: str, reason: str, message: str) -> None:
    store.execute("INSERT INTO rejected VALUES (?, ?, ?)", (name, reason, message))


def _draw(store: sqlite3.Connection, limit: int | None) -> None:
    """Take the hosts with the smallest draws: a larger sample contains each smaller one."""
    if limit is None:
        return
    store.execute("UPDATE host SET taken = 0")
    store.execute(
        "UPDATE host SET taken = 1 WHERE id IN (SELECT id FROM host ORDER BY draw, id LIMIT ?)",
        (limit,),
    )
    store.execute("INSERT INTO rejected SELECT id, 'limit', 'not drawn' FROM host WHERE NOT taken")


def _summarize(store: sqlite3.Connection) -> Summary:
    (selected,) = store.execute("SELECT COUNT(*) FROM host WHERE taken").fetchone()
    rejected = dict(
        store.execute(
            "SELECT reason, COUNT(*) FROM rejected GROUP BY reason ORDER BY COUNT(*) DESC, reason"
        )
    )
    return Summary(selected + sum(rejected.values()), selected, rejected)


def _write(store: sqlite3.Connection, shards: int, directory: Path) -> None:
    rows = store.execute("SELECT row FROM host WHERE taken ORDER BY id")
    _write_csv(directory / "selected.csv", SELECTED, (json.loads(row) for (row,) in rows))
    reasons = store.execute("SELECT * FROM rejected ORDER BY id, reason, message")
    _write_csv(directory / "rejected.csv", REJECTED, reasons)
    for shard, label in enumerate(shard_labels(shards)):
        frames = store.execute(
            "SELECT frame FROM host WHERE taken AND shard = ? ORDER BY id", (shard,)
        )
        with (
            replacing(directory / "hosts" / f"{label}.xyz") as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            file.writelines(frame for (frame,) in frames)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
