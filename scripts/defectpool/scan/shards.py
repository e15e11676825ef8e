"""Scan of a folder in shards: a new file adds its own work and redoes none.

A file goes to the shard that its name gives. A shard keeps what it has found by the content of
each file, outside its outputs: a job that was killed goes on where it was, and a file that was
only copied or touched is not scanned again.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from defectpool.errors import DefectpoolError
from defectpool.runtime.atomic_write import replacing, write_text
from defectpool.runtime.hashing import content_id, shard_of
from defectpool.scan import networks, sources
from defectpool.scan.drawing import drawing
from defectpool.scan.result import Limits
from defectpool.scan.run import scan_files
from defectpool.scan.text import as_dict

if TYPE_CHECKING:
    from defectpool.evaluation.second_opinion import Networks

COLUMNS = ("name", "path", "size", "changed")
DRAWN = 40  # structures of a shard that the page may draw


class File(NamedTuple):
    """A file of the scanned folder: name in it, path, bytes, time of the last change in ns."""

    name: str
    path: str
    size: int
    changed: int


def files_of(path: str) -> list[File]:
    """Files of the folder, glob or file that is scanned, in the order of their names.

    Raises
    ------
    DefectpoolError
        If there is nothing to scan.
    """
    base = path if Path(path).is_dir() else os.path.dirname(path)  # noqa: PTH120  of a glob, too
    found = [_file(name, base) for name in sources.listing(path) if Path(name).is_file()]
    if not found:
        raise DefectpoolError(f"scan.path: there is no structure at {path}")
    return sorted(found)


def digest_of(path: str) -> str:
    """Digest of the names, sizes and times of the files that are scanned."""
    return content_id(*files_of(path))


def write_lists(path: str, lists: Sequence[Path]) -> int:
    """Write the list of files of each shard.

    Parameters
    ----------
    path
        Folder, glob or file.
    lists
        CSV file of each shard.

    Returns
    -------
    int
        Number of files.
    """
    shares: list[list[File]] = [[] for _ in lists]
    found = files_of(path)
    for file in found:
        shares[shard_of(file.name, len(lists))].append(file)
    for target, share in zip(lists, shares, strict=True):
        with replacing(target) as temporary, temporary.open("w", newline="") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(share)
    return len(found)


def scan_shard(
    listing: Path,
    output: Path,
    state: Path,
    limits: Limits,
    code: str,
    track: bool = False,
    models: Sequence[Path] = (),
) -> int:
    """Scan the files of a shard that have not been scanned before.

    Parameters
    ----------
    listing
        List of the shard's files, as `write_lists` wrote it.
    output
        Gets a record a structure, as gzipped JSON lines.
    state
        File that keeps the records between runs.
    limits
        Bounds on what is read.
    code
        Digest of the code; records of other code are made again.
    track
        Whether files hold trajectories.
    models
        Model files, whose networks give a second opinion.

    Returns
    -------
    int
        Number of files that had to be scanned.
    """
    shard = _read_list(listing)
    version = content_id(code, track, *asdict(limits).values(), *networks.digests(models))
    known = _read_state(state, version)
    digests = {file.name: _content(file, limits) for file in shard}
    new = [file for file in shard if digests[file.name] not in known]
    asked = networks.load(models if new else ())
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.open("a", encoding="utf-8") as kept:
        for number, file in enumerate(new, start=1):
            records = list(_records(file, limits, track, asked))
            known[digests[file.name]] = records
            kept.write(_line({"key": digests[file.name], "version": version, "records": records}))
            kept.flush()
            if not number % DRAWN:  # drawings of a whole shard would fill the memory
                _drop_drawings(known)
    _drop_drawings(known)
    current = {digest: known[digest] for digest in digests.values()}
    _write_state(state, version, current)
    _write_records(output, shard, [current[digests[file.name]] for file in shard])
    return len(new)


def _file(name: str, base: str) -> File:
    status = Path(name).stat()
    return File(os.path.relpath(name, base or "."), name, status.st_size, status.st_mtime_ns)


def _read_list(path: Path) -> list[File]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [File(name, place, int(size), int(changed)) for name, place, size, changed in rows]


def _content(file: File, limits: Limits) -> str:
    """Digest of a file's name and content; of one that is too large, of its size."""
    total = hashlib.sha256(file.name.encode("utf-8", "surrogateescape"))
    if file.size > limits.file_bytes:
        total.update(f"\0{file.size}".encode())
    else:
        with Path(file.path).open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()[:32]


def _records(
    file: File, limits: Limits, track: bool, asked: Sequence[Networks]
) -> Iterator[dict[str, Any]]:
    """Yield the results of a file as plain data, with the name that it has in the folder."""
    results = scan_files([file.path], limits, track=track)
    for result in networks.with_opinions(results, asked):
        inside = result.path.removeprefix(file.path)  # of a member of an archive
        record = as_dict(result) | {"path": file.name + inside}
        drawn = drawing(result)
        yield record | {"drawing": drawn} if drawn else record


def _drop_drawings(known: Mapping[str, list[dict[str, Any]]]) -> None:
    """Keep the drawings of few structures, which depend on content alone; defective ones first."""
    drawn = [
        (record["verdict"] != "defective", content_id(digest, record["frame"]), record)
        for digest, records in known.items()
        for record in records
        if "drawing" in record
    ]
    for _, _, record in sorted(drawn, key=lambda item: item[:2])[DRAWN:]:
        del record["drawing"]


def _read_state(path: Path, version: str) -> dict[str, list[dict[str, Any]]]:
    """Read the records that an earlier run kept; a line cut short by its end is left out."""
    known: dict[str, list[dict[str, Any]]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                kept = json.loads(line)
            except ValueError:
                continue
            if kept["version"] == version:
                known[kept["key"]] = kept["records"]
    return known


def _write_state(path: Path, version: str, known: Mapping[str, list[dict[str, Any]]]) -> None:
    lines = (
        _line({"key": key, "version": version, "records": records})
        for key, records in known.items()
    )
    write_text(path, "".join(lines))


def _write_records(path: Path, files: Sequence[File], found: Sequence[list[Any]]) -> None:
    ordered = [records for _, records in sorted(zip(files, found, strict=True))]
    # no time and no name in the header: the same records are the same bytes
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
    ):
        packed.writelines(_line(record).encode() for record in chain.from_iterable(ordered))


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
