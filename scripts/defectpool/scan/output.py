"""Files of a scan: tables of structures, defects, complexes and events; annotated structures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from defectpool.runtime.atomic_write import replacing
from defectpool.scan.result import Result
from defectpool.scan.run import annotate
from defectpool.scan.text import as_dict

COLUMNS = {
    "structures": ("path", "frame", "atoms", "host", "verdict", "n_defects", "reason"),
    "defects": ("path", "frame", "type", "name", "x", "y", "z", "score"),
    "complexes": ("path", "frame", "name", "members", "distances"),
    "events": ("path", "frame", "type", "name", "x", "y", "z"),
    "network_defects": ("path", "frame", "model", "type", "name", "x", "y", "z", "probability"),
}
# of structures.csv, by choice
NETWORK_COLUMNS = ("probability", "probability_spread", "agrees", "defects_agree")
ANNOTATED = "annotated.xyz"


class Tables:
    """Tables of a scan, written row by row: `structures.csv`, `defects.csv` and so on.

    Used as a context manager. The files appear when it ends; where it ends by an error, those of
    an earlier scan stay as they are.

    Parameters
    ----------
    folder
        Folder for the tables; it is made if it is missing.
    networks
        Whether networks were asked: `structures.csv` then has `NETWORK_COLUMNS`.
    """

    def __init__(self, folder: Path, networks: bool = False) -> None:
        self.folder, self.networks = folder, networks
        self._stack = ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Tables:
        for name, columns in COLUMNS.items():
            file = self._open(f"{name}.csv")
            more = NETWORK_COLUMNS if self.networks and name == "structures" else ()
            self._writers[name] = csv.DictWriter(
                file, (*columns, *more), extrasaction="ignore", lineterminator="\n"
            )
            self._writers[name].writeheader()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, traceback)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a result in the form of `text.as_dict`."""
        for name, rows in rows_of(record).items():
            self._writers[name].writerows(rows)

    def _open(self, name: str) -> TextIO:
        temporary = self._stack.enter_context(replacing(self.folder / name))
        return self._stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))


class Output(Tables):
    """Tables of a scan, and `annotated.xyz` with the structures that were read."""

    def __enter__(self) -> Output:
        super().__enter__()
        self._annotated = self._open(ANNOTATED)
        return self

    def add_result(self, result: Result) -> None:
        """Add a result to the tables, and its structure to the annotated ones."""
        self.add(as_dict(result))
        write_annotated(self._annotated, result)


def write(results: Iterable[Result], folder: Path, networks: bool = False) -> Iterator[Result]:
    """Write the results of a scan to a folder while they pass.

    Parameters
    ----------
    results
        The results.
    folder
        Gets `structures.csv`, `defects.csv`, `complexes.csv`, `events.csv`, `network_defects.csv`
        and `annotated.xyz`.
    networks
        Whether networks were asked.

    Yields
    ------
    Result
        Each result, when it has been written.
    """
    with Output(folder, networks) as output:
        for result in results:
            output.add_result(result)
            yield result


def rows_of(record: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of each table for a result in the form of `text.as_dict`."""
    key = {"path": record["path"], "frame": record["frame"]}
    host = record["host"] or {}
    structure = {
        **key,
        "atoms": record["atoms"],
        "host": f"{host['formula']} {host['symmetry']}" if host else "",
        "verdict": record["verdict"],
        "n_defects": len(record["defects"]),
        "reason": record["reason"],
        **{name: record[name] for name in NETWORK_COLUMNS},
    }
    return {
        "structures": [structure],
        "defects": [
            {**_place(key, defect), "score": defect["score"]} for defect in record["defects"]
        ],
        "complexes": [
            {
                **key,
                "name": c["name"],
                "members": " ".join(record["defects"][i]["name"] for i in c["members"]),
                "distances": " ".join(f"{value:.3f}" for value in c["distances"]),
            }
            for c in record["complexes"]
        ],
        "events": [_place(key, event) for event in record["events"]],
        "network_defects": [
            {**_place(key, one), "model": asked["model"], "probability": one["probability"]}
            for asked in record["networks"]
            for one in asked["defects"] or ()
        ],
    }


def write_annotated(file: TextIO, result: Result) -> None:
    """Append a structure as extended XYZ with the columns that `annotate` makes.

    Where networks gave an answer, there are also `network_score` and the structure's probability.
    """
    from ase.io.extxyz import write_extxyz

    if result.structure is None:
        return
    atoms = result.structure.copy()
    atoms.info = {"path": result.path, "frame": result.frame, "verdict": result.verdict}
    if result.reason:
        atoms.info["reason"] = result.reason
    annotate(atoms, result.finding)
    if result.opinion is not None:
        atoms.info["probability"] = result.opinion.probability
        atoms.set_array("network_score", result.opinion.site_scores)
    write_extxyz(file, [atoms])


def _place(key: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a defect and an event have in common: type, name and position."""
    x, y, z = found["position"]
    return {**key, "type": found["type"], "name": found["name"], "x": x, "y": y, "z": z}
