"""Gallery of the map's page: structures, the scores of their sites, what each method said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.evaluation import map_answers, map_examples
from defectpool.evaluation.lattice_baseline import analyzed
from defectpool.evaluation.map_confusion import NO_ANSWER, with_names
from defectpool.evaluation.map_examples import is_right
from defectpool.reporting.map_drawing import Example, drawing, scaled
from defectpool.reporting.plots_map import AXES, value_text

if TYPE_CHECKING:
    from defectpool.evaluation.map_answers import Networks
    from defectpool.lattice import Finding
    from defectpool.structures.structure_files import DefectStructure

RELAXED = "relaxed"
MOST_NAMES = 4


def gallery(
    named: pd.DataFrame,
    network: str,
    networks: Networks,
    cells: Iterable[DefectStructure],
    relaxed: Iterable[DefectStructure],
) -> dict[str, list[dict[str, Any]]]:
    """Structures to show, in the form of `map_drawing.drawing`, by the group they belong to.

    Parameters
    ----------
    named
        Rows of `map_confusion.with_names`.
    network, networks
        Method that scores sites, and its networks.
    cells, relaxed
        Structures of the map, and relaxed ones of the campaign.

    Returns
    -------
    dict
        found, relaxed, lattice_mistakes, network_mistakes.
    """
    chosen = {
        "found": map_examples.found(named, network),
        "lattice_mistakes": map_examples.mistakes(named, "lattice"),
        "network_mistakes": map_examples.mistakes(named, network),
    }
    wanted = {key for rows in chosen.values() for key in _keys(rows)}
    structures = {
        key: one for one in cells if (key := (one.notes["axis"], one.structure)) in wanted
    }
    shown = {
        group: [drawing(example(structures[key], key[0], named, networks)) for key in _keys(rows)]
        for group, rows in chosen.items()
    }
    shown[RELAXED] = [
        drawing(example(one, RELAXED, answered(one, network, networks), networks))
        for one in map_examples.relaxed(relaxed)
    ]
    return shown


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Axis and id of each structure; the same id can stand on several axes."""
    return list(zip(rows["axis"], rows["structure"], strict=True))


def example(one: DefectStructure, axis: str, named: pd.DataFrame, networks: Networks) -> Example:
    """Structure of the map as an example.

    Parameters
    ----------
    one, axis
        The structure, and the axis it stands on.
    named
        Rows of `map_confusion.with_names` of all methods on all structures.
    networks
        Networks that score its sites; each formula is scored by those that have not seen it.
    """
    answer, finding = networks.answer(one, one.formula), analyzed(one.atoms)
    own = named[(named["axis"] == axis) & (named["structure"] == one.structure)]
    said = [
        (row["method"], _said(row, finding), bool(right))
        for row, right in zip(own.to_dict("records"), is_right(own), strict=True)
    ]
    scores = np.zeros(len(one.atoms)) if answer is None else answer.site_scores
    return Example(one, scaled(scores, networks.names_types), finding, title(one, axis), said)


def answered(one: DefectStructure, network: str, networks: Networks) -> pd.DataFrame:
    """Answers of lattice and network for a structure that is not on the map, as named rows."""
    methods: dict[str, Any] = {"lattice": map_answers.lattice, network: networks}
    tables = [map_answers.answers([one], RELAXED, *item) for item in methods.items()]
    rows = pd.concat(tables, ignore_index=True)
    return with_names(rows.assign(probability=rows["score"].fillna(1 - rows["label"])))


def title(one: DefectStructure, axis: str) -> str:
    """What a structure is: defect, host, supercell and point of the map."""
    defects = [f"{label.kind} {label.name} in " for label in one.defects]
    what = f"{len(defects)} defects in " if len(defects) > 1 else "".join(defects) or "pristine "
    parts = [f"{what}{one.formula} ({one.host})", one.supercell]
    if axis != "supercells":
        parts.append(RELAXED if axis == RELAXED else point(axis, str(one.notes["value"])))
    return ", ".join(parts)


def point(axis: str, value: str) -> str:
    """Point of the map in words: `temperature 300 K`, `strain 4 %`."""
    name, _, unit = AXES[axis][0].partition(" (")
    return " ".join(filter(None, [name, value_text(axis, value), unit.removesuffix(")")]))


def _said(row: Mapping[Any, Any], finding: Finding) -> str:
    """What a method said of a structure."""
    called, sure = str(row["called"]), row["confidence"]
    if called == NO_ANSWER:
        return f"{NO_ANSWER}: {row['reason']}" if row["reason"] else NO_ANSWER
    certain = "" if pd.isna(sure) else f", {100 * sure:.3g} % sure"
    names = ""
    if row["method"] == "lattice" and finding.defects:
        listed = [defect.name for defect in finding.defects]
        more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
        names = f" ({', '.join(listed[:MOST_NAMES])}{more})"
    return f"{called}{names}{certain}"
