"""Selection of hosts: any source is read, checked, filtered and split into a number of shards.

The source is read once, host by host. Hosts that pass go to a temporary SQLite file, which finds
duplicate ids, takes the random sample and returns the hosts in order, so memory does not grow with
the source.
"""

import csv
import io
import json
import sqlite3
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import filters, slab
from defectpool.materials.archive import scratch_folder
from defectpool.materials.duplicates import duplicates
from defectpool.materials.file_listing import READABLE, check_sha256, digest, file_digest
from defectpool.materials.host import (
    BadStructure,
    Candidate,
    Host,
    Rejected,
    content_name,
    iterate_hosts,
    safe_id,
    write_host,
)
from defectpool.runtime.atomic_write import replacing, write_text
from defectpool.runtime.disk import missing_space
from defectpool.runtime.hashing import seed, shard_labels, shard_of

SELECTED = ("id", "formula", "layergroup", "natoms", "source", "properties")
REJECTED = ("id", "reason", "message")
RECORD = "source.json"
SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE host (
    id TEXT PRIMARY KEY, random_key INTEGER, shard INTEGER, bucket TEXT, row TEXT, frame TEXT
);
CREATE INDEX bucket ON host (bucket);
CREATE TABLE rejected (id TEXT, reason TEXT, message TEXT);
"""


@dataclass(frozen=True)
class Summary:
    """Counts of a selection, and the source that it was made from.

    Attributes
    ----------
    source, place, date
        `materials.source`; path or address; day of the download (UTC), empty for files.
    sha256
        Checksum of the source.
    changed
        Checksum of the source of the last selection from the same place, if it was different.
    seen, selected, rejected
        Structures in the source; hosts selected; structures left out, by reason code.
    """

    source: str
    place: str
    date: str
    sha256: str
    changed: str
    seen: int
    selected: int
    rejected: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{self.source} {self.place}, sha256 {self.sha256}".replace(" ,", ",")]
        if self.changed:
            lines.append(f"the source has changed: the last selection read sha256 {self.changed}")
        more = "; left out:" if self.rejected else ""
        lines.append(f"{self.selected} of {self.seen} structures selected{more}")
        lines += [f"{count:>8} {reason}" for reason, count in self.rejected.items()]
        return "\n".join(lines)


class _Source(NamedTuple):
    place: str
    date: str
    sha256: str
    candidates: Iterator[Candidate | Host | Rejected]


def select_hosts(
    settings: MaterialsSettings,
    shards: int,
    directory: Path,
    vacuum: float = 8.0,
    last_record: Path | None = None,
) -> Summary:
    """Write selected.csv, rejected.csv, source.json and hosts/<shard>.xyz.

    Hosts are ordered by id. The shard of a host depends on its id alone. A random sample takes the
    hosts with the smallest random keys, and that of a host depends on its id and the seed alone.

    Parameters
    ----------
    settings
        Source, filters and sample.
    shards
        Number of shards; every one is written, an empty one as an empty file.
    directory
        Where the files go.
    vacuum
        Smallest empty space in Å between a layer and its image: the cutoff radius of the graphs.
    last_record
        `source.json` of the last selection; by default the one in `directory`.

    Raises
    ------
    DefectpoolError
        If the source cannot be read at all, if it does not have the checksum of the config, or if
        no host is left; then the message counts the reasons.
    """
    source = _open(settings)
    check_sha256(settings.sha256, source.sha256, source.place)
    with _store() as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readers warn about single structures; reasons are kept
        for candidate in source.candidates:
            _admit(store, candidate, settings, shards, vacuum)
        if settings.duplicates == "drop":
            _drop_duplicates(store)
        if settings.limit is not None:
            _take_sample(store, settings.limit)
        summary = _summarize(store, settings.source, source, last_record or directory / RECORD)
        if not summary.selected:
            raise DefectpoolError(_nothing_left(summary))
        _write(store, shards, directory)
        record = {key: value for key, value in asdict(summary).items() if key != "changed"}
        write_text(directory / RECORD, json.dumps(record, indent=2) + "\n")
    return summary


def _nothing_left(summary: Summary) -> str:
    place = f"{summary.source} {summary.place}".strip()
    if not summary.seen:
        return f"there is no structure in materials.source: {place} (read is {READABLE})"
    reasons = ", ".join(f"{reason} {count}" for reason, count in summary.rejected.items())
    return (
        f"no host is left of the {summary.seen} structures of materials.source: {place} "
        f"(left out by {reasons}); relax these filters of materials, or correct the source"
    )


@contextmanager
def _store() -> Iterator[sqlite3.Connection]:
    """Open a temporary SQLite file for the hosts."""
    with scratch_folder() as scratch:
        try:
            with closing(sqlite3.connect(scratch / "hosts.db")) as store:
                store.executescript(SCHEMA)
                yield store
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise DefectpoolError(f"{scratch.parent}: {missing_space(scratch, 0)}") from None


def _open(settings: MaterialsSettings) -> _Source:
    path = settings.path or ""
    match settings.source:
        case "embedded":
            from defectpool.materials import embedded

            table = Path(embedded.__file__).with_name("embedded.csv")
            return _Source("", "", file_digest(table), embedded.hosts())
        case "database":
            from defectpool.materials import database

            rows = database.candidates(Path(path), settings.select)
            return _Source(path, "", file_digest(Path(path)), rows)
        case "files":
            from defectpool.materials import file_source

            return _Source(path, "", digest(path), file_source.candidates(path))
        case "optimade":
            from defectpool.materials import optimade

            download = optimade.fetch(settings.url, settings.filter, Path(settings.cache))
            entries = optimade.candidates(download.path)
            return _Source(settings.url, download.date, optimade.digest(download.path), entries)


def _admit(
    store: sqlite3.Connection,
    candidate: Candidate | Host | Rejected,
    settings: MaterialsSettings,
    shards: int,
    vacuum: float,
) -> None:
    """Store a candidate that passes, or the reason why it does not."""
    if isinstance(candidate, Rejected):
        _reject(store, candidate.id, candidate.reason, candidate.message)
        return
    try:
        host, bucket = _host(candidate, settings, vacuum)
    except BadStructure as error:
        _reject(store, candidate.id or candidate.source, error.reason, str(error))
        return
    facts = json.dumps(host.properties, sort_keys=True)
    group = host.properties.get("layergroup", "")
    frame = io.StringIO()
    write_host(frame, host)
    try:
        store.execute(
            "INSERT INTO host VALUES (?, ?, ?, ?, ?, ?)",
            (
                host.id,
                seed(settings.seed, host.id),
                shard_of(host.id, shards),
                bucket,
                json.dumps((host.id, host.formula, group, len(host.atoms), host.source, facts)),
                frame.getvalue(),
            ),
        )
    except sqlite3.IntegrityError:
        _reject(store, host.id, "duplicate_id", f"{host.source}: another structure has this id")


def _host(
    candidate: Candidate | Host, settings: MaterialsSettings, vacuum: float
) -> tuple[Host, str]:
    """Check a candidate and bring it to the standard setting.

    Returns
    -------
    tuple
        The host, and a text that it shares with all its duplicates.
    """
    from pymatgen.core import Composition

    properties = filters.normalize(candidate.properties)
    slab.check_atoms(candidate.atoms)
    filters.check(candidate.atoms, properties, settings)
    atoms = slab.standardize(candidate.atoms, vacuum)
    number, symbol, primitive = slab.layer_group(atoms)
    if number and "lgnum" not in properties:
        properties |= {"lgnum": number, "layergroup": symbol}
    filters.check_layer_group(properties, settings)
    formula = Composition(atoms.get_chemical_formula()).reduced_formula
    name = safe_id(candidate.id or content_name(formula, candidate.atoms))
    host = Host(name, atoms, formula, _plain(candidate.source), properties)
    return host, f"{formula} {number} {primitive}"


def _plain(text: str) -> str:
    """One line that can be written in UTF-8, whatever a file name or an error message holds."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _reject(store: sqlite3.Connection, name: str, reason: str, message: str) -> None:
    store.execute("INSERT INTO rejected VALUES (?, ?, ?)", (_plain(name), reason, _plain(message)))


def _drop_duplicates(store: sqlite3.Connection) -> None:
    """Of equal structures keep the one with the smallest id."""
    shared = store.execute("SELECT bucket FROM host GROUP BY bucket HAVING COUNT(*) > 1").fetchall()
    for (bucket,) in sorted(shared):
        members = store.execute(
            "SELECT id, frame FROM host WHERE bucket = ? ORDER BY id", (bucket,)
        ).fetchall()
        atoms = [host.atoms for _, frame in members for host in iterate_hosts(io.StringIO(frame))]
        for index, first in duplicates(atoms).items():
            name = members[index][0]
            _reject(store, name, "duplicate_structure", f"the same as {members[first][0]}")
            store.execute("DELETE FROM host WHERE id = ?", (name,))


def _take_sample(store: sqlite3.Connection, limit: int) -> None:
    """Keep the hosts with the smallest random keys: a larger sample contains each smaller one."""
    sampled = "SELECT id FROM host ORDER BY random_key, id LIMIT ?"
    store.execute(
        "INSERT INTO rejected SELECT id, 'limit', 'not in the random sample' FROM host "
        f"WHERE id NOT IN ({sampled})",
        (limit,),
    )
    store.execute(f"DELETE FROM host WHERE id NOT IN ({sampled})", (limit,))


def _summarize(store: sqlite3.Connection, name: str, source: _Source, last: Path) -> Summary:
    (selected,) = store.execute("SELECT COUNT(*) FROM host").fetchone()
    rejected = dict(
        store.execute(
            "SELECT reason, COUNT(*) FROM rejected GROUP BY reason ORDER BY COUNT(*) DESC, reason"
        )
    )
    seen = selected + sum(rejected.values())
    changed = _changed(last, source)
    return Summary(
        name, source.place, source.date, source.sha256, changed, seen, selected, rejected
    )


def _changed(record: Path, source: _Source) -> str:
    """Checksum of the last selection from the same place, if it was different."""
    try:
        last = json.loads(record.read_text(encoding="utf-8"))
        same = last["place"] != source.place or last["sha256"] == source.sha256
        return "" if same else str(last["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(store: sqlite3.Connection, shards: int, directory: Path) -> None:
    rows = store.execute("SELECT row FROM host ORDER BY id")
    _write_csv(directory / "selected.csv", SELECTED, (json.loads(row) for (row,) in rows))
    reasons = store.execute("SELECT * FROM rejected ORDER BY id, reason, message")
    _write_csv(directory / "rejected.csv", REJECTED, reasons)
    for shard, label in enumerate(shard_labels(shards)):
        frames = store.execute("SELECT frame FROM host WHERE shard = ? ORDER BY id", (shard,))
        with (
            replacing(directory / "hosts" / f"{label}.xyz", keep_equal=True) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            file.writelines(frame for (frame,) in frames)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    with (
        replacing(path, keep_equal=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
