"""Page of a scan: what was found in a sortable table, and the structures in 3D.

The page is one file that needs no network. 3Dmol.js (N. Rego and D. Koes, Bioinformatics 31, 1322
(2015); BSD 3-Clause) is part of it, as the package ships it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from os.path import commonpath
from pathlib import Path
from typing import Any

from defectpool.runtime.atomic_write import write_text
from defectpool.scan.drawing import drawing
from defectpool.scan.result import UNDECIDED, VERDICTS, Result
from defectpool.scan.text import as_dict, second_opinion

TEMPLATE = "page.html"
LIBRARY = ("defectpool.reporting", "3Dmol-min.js")
NOTICE = "/* 3Dmol.js, Copyright (c) 2014 University of Pittsburgh, BSD 3-Clause */\n"

MOST_ROWS = 20_000
MOST_ATOMS = 150_000  # drawn in a page, some 30 bytes each
NAMED = 3  # defects that a row names
LAST_COLORED = 109  # atomic number; heavier elements have its color


class Page:
    """Contents of a page, gathered result by result in bounded memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.drawings: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.names: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        self._atoms = 0

    def add(self, record: Mapping[str, Any], drawn: dict[str, Any] | None = None) -> None:
        """Add a result.

        Parameters
        ----------
        record
            The result in the form of `text.as_dict`.
        drawn
            Its structure in the form of `drawing.drawing`; left out where the page is full.
        """
        self.counts[record["verdict"]] += 1
        self.names.update((d["name"], d["type"]) for d in record["defects"])
        if record["verdict"] == UNDECIDED:
            self.reasons[without_numbers(record["reason"])] += 1
        if len(self.rows) >= MOST_ROWS:
            return
        fits = drawn is not None and self._atoms + len(drawn["species"]) <= MOST_ATOMS
        self.rows.append(row(record, len(self.drawings) if fits else None))
        if drawn is not None and fits:
            self.drawings.append(drawn)
            self._atoms += len(drawn["species"])

    def data(self) -> dict[str, Any]:
        """Return what the page shows, as plain data."""
        folder = common_folder([row["path"] for row in self.rows])
        elements = sorted({symbol for drawn in self.drawings for symbol in drawn["elements"]})
        return {
            "counts": {verdict: self.counts[verdict] for verdict in VERDICTS},
            "names": [[*key, count] for key, count in self.names.most_common(100)],
            "reasons": [[reason, count] for reason, count in self.reasons.most_common(20)],
            "styles": {symbol: style(symbol) for symbol in elements},
            "folder": folder,
            "networks": any(row["second"] for row in self.rows),
            "rows": [row | {"path": row["path"].removeprefix(folder)} for row in self.rows],
            "drawings": self.drawings,
        }

    def html(self) -> str:
        """Return the page."""
        # "<" is escaped, so that no text in the data can end the script that holds it
        text = json.dumps(self.data(), separators=(",", ":")).replace("<", "\\u003c")
        template = files("defectpool.scan").joinpath(TEMPLATE).read_text(encoding="utf-8")
        before, rest = template.split("$LIBRARY")
        middle, after = rest.split("$DATA")
        package, name = LIBRARY
        library = files(package).joinpath(name).read_text(encoding="utf-8")
        return "".join((before, NOTICE, library, middle, text, after))


def write_while_passing(results: Iterable[Result], path: Path) -> Iterator[Result]:
    """Pass results on; write the page when there are no more."""
    page = Page()
    for result in results:
        page.add(as_dict(result), drawing(result))
        yield result
    write_text(path, page.html())


def common_folder(paths: Iterable[str]) -> str:
    """Folder that all paths lie in, with its final slash; empty where there is none."""
    folders = {path.rpartition("/")[0] for path in paths}
    if not folders or not all(folders) or len({folder.startswith("/") for folder in folders}) > 1:
        return ""
    common = commonpath(folders)
    return f"{common}/" if common.strip("/") else ""


def without_numbers(reason: str) -> str:
    """Return a reason without its numbers and details, to count it with those like it."""
    return re.sub(r"\d[\d,.]*", "…", re.split(r"[;(:]", reason)[0].strip())


def row(record: Mapping[str, Any], drawn: int | None) -> dict[str, Any]:
    """Row of the table for a result, with the number of its drawing."""
    host, frame = record["host"] or {}, record["frame"]
    names = [f"{n}× {name}" if n > 1 else name for name, n in _named(record["defects"])]
    if len(names) > NAMED:
        names = [*names[:NAMED], f"and {len(names) - NAMED} more"]
    return {
        "path": f"{record['path']}#{frame}" if frame or not record["path"] else record["path"],
        "host": f"{host['formula']} {host['symmetry']}" if host else "",
        "atoms": record["atoms"],
        "verdict": record["verdict"],
        "n": len(record["defects"]),
        "said": record["reason"] or ", ".join(names),
        "drawing": drawn,
        "network": record["probability"],
        "agrees": record["agrees"] if record["defects_agree"] is not False else False,
        "second": second_opinion(record),
    }


def style(symbol: str) -> dict[str, Any]:
    """Color and drawn radius of an element."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * part) for part in jmol_colors[min(number, LAST_COLORED)])
    return {
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "radius": round(0.42 * float(covalent_radii[number]), 3),
    }


def _named(defects: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return Counter(defect["name"] for defect in defects).most_common()
