"""Tables and page of a scan in shards."""

from __future__ import annotations

import gzip
import heapq
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from defectpool.runtime.atomic_write import write_text
from defectpool.scan import page
from defectpool.scan.output import Tables


def merge(
    shards: Iterable[Path], folder: Path, report: Path, networks: bool = False
) -> dict[str, int]:
    """Merge the shards into tables and a page.

    Parameters
    ----------
    shards
        What `scan_shard` wrote.
    folder
        Gets `structures.csv`, `defects.csv`, `complexes.csv`, `events.csv` and
        `network_defects.csv`.
    report
        The page.
    networks
        Whether networks were asked.

    Returns
    -------
    dict
        Number of structures by verdict.
    """
    contents = page.Page()
    with ExitStack() as stack:
        tables = stack.enter_context(Tables(folder, networks))
        streams = [stack.enter_context(gzip.open(path, "rt", encoding="utf-8")) for path in shards]
        ordered = heapq.merge(*(map(json.loads, stream) for stream in streams), key=_place)
        for record in ordered:
            drawn = record.pop("drawing", None)
            tables.add(record)
            contents.add(record, drawn)
    write_text(report, contents.html())
    return dict(contents.counts)


def _place(record: Mapping[str, Any]) -> tuple[str, int]:
    return record["path"], record["frame"]
