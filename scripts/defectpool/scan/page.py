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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.files import write_text
from defectpool.scan.result import UNDECIDED, VERDICTS, Result
from defectpool.scan.text import as_dict

if TYPE_CHECKING:
    from ase import Atoms

TEMPLATE = "page.html"
LIBRARY = ("defectpool.results", "3Dmol-min.js")
NOTICE = "/* 3Dmol.js, Copyright (c) 2014 University of Pittsburgh, BSD 3-Clause */\n"

MOST_ROWS = 20_000
MOST_ATOMS = 150_000  # drawn in a page, some 30 bytes each
MOST_EACH = 4_000  # drawn of a structure; of a larger one those next to the defects
NAMED = 3  # defects that a row names
FACE = -0.02  # fraction of a cell vector; atoms just below a face stay there
VACUUM = 4.0  # Å; a wider gap between layers of atoms is where a cell is cut


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
            Its structure in the form of `drawing`; left out where the page is full.
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
    }


def drawing(result: Result) -> dict[str, Any] | None:
    """Structure of a result as the page draws it, lengths of atoms in thousandths of an Å.

    Parameters
    ----------
    result
        The result; of a structure of more than `MOST_EACH` atoms those next to the defects are
        drawn.

    Returns
    -------
    dict or None
        None where nothing was read.
    """
    atoms, finding = result.structure, result.finding
    if atoms is None:
        return None
    defects = finding.defects if finding else ()
    starts = cuts(atoms)
    positions = wrapped(atoms, atoms.positions, starts)
    places = wrapped(atoms, np.array([d.position for d in defects]).reshape(-1, 3), starts)
    host = finding.host if finding else None
    moves = np.nan_to_num(np.asarray(host.displacements)) if host else np.zeros_like(positions)
    kept = _next_to(positions, places)
    symbols = sorted(set(atoms.symbols))
    species = np.array([symbols.index(symbol) for symbol in atoms.symbols])
    return {
        "elements": symbols,
        "species": species[kept].tolist(),
        "positions": _thousandths(positions[kept]),
        "displacements": _thousandths(moves[kept]),
        "cell": _thousandths(atoms.cell.array),
        "flat": bool(starts[2] != FACE),
        "cut": len(kept) < len(atoms),
        "defects": [
            {
                "type": defect["type"],
                "name": defect["name"],
                "position": place.round(3).tolist(),
                "given": defect["position"],
                "moved": defect["distance_moved"],
                "score": defect["score"],
            }
            for defect, place in zip(as_dict(result)["defects"], places, strict=True)
        ],
    }


def cuts(atoms: Atoms) -> NDArray[np.float64]:
    """Where the cell is best cut open along each vector, as fractions [3].

    A slab that lies across the cell's face is drawn in one piece: the cut is in the middle of a
    gap wider than `VACUUM`; elsewhere it is just below the face.
    """
    starts = np.full(3, FACE)
    if atoms.cell.rank != 3:
        return starts
    fractions = np.sort(atoms.cell.scaled_positions(atoms.positions) % 1.0, axis=0)
    for axis, values in enumerate(fractions.T):
        gaps = np.diff(values, append=values[0] + 1.0)
        widest = int(np.argmax(gaps))
        if gaps[widest] * atoms.cell.lengths()[axis] > VACUUM:
            middle = values[widest] + gaps[widest] / 2
            starts[axis] = middle - np.round(middle)
    return starts


def wrapped(
    atoms: Atoms, positions: NDArray[np.float64], starts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions [n, 3] in Å moved by whole cell vectors to begin at the cuts."""
    if atoms.cell.rank != 3 or not len(positions):
        return positions
    fractions = atoms.cell.scaled_positions(positions)
    shifts = np.where(atoms.pbc, np.floor(fractions - starts), 0.0)
    return (fractions - shifts) @ atoms.cell.array


def style(symbol: str) -> dict[str, Any]:
    """Color and drawn radius of an element."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * part) for part in jmol_colors[number])
    return {
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "radius": round(0.42 * float(covalent_radii[number]), 3),
    }


def _next_to(positions: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows that are drawn: all, or those nearest to a defect or to the first atom."""
    if len(positions) <= MOST_EACH:
        return np.arange(len(positions))
    from scipy.spatial import KDTree

    distances, _ = KDTree(places if len(places) else positions[:1]).query(positions)
    return np.sort(np.argsort(distances, kind="stable")[:MOST_EACH])


def _thousandths(values: NDArray[np.float64]) -> list[int]:
    return np.rint(1000 * np.asarray(values)).astype(int).ravel().tolist()


def _named(defects: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return Counter(defect["name"] for defect in defects).most_common()
