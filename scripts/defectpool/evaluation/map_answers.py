"""Answers of each method for the cells of the map, one row a structure.

A method gets one structure at a time, without a reference. Its score is larger for defective
structures; an empty score is no answer and counts as wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation.lattice_baseline import SAME_SITE, analyzed
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.runtime.disk import reading_error

if TYPE_CHECKING:
    from defectpool.lattice import Finding
    from defectpool.structures.structure_files import DefectStructure

COLUMNS = (
    "axis", "value", "structure", "host", "formula", "defect", "label", "method", "score",
    "site_correct", "type_correct", "called", "confidence", "seconds", "atoms", "reason",
)  # fmt: skip
TEXTS = ("axis", "value", "structure", "host", "formula", "defect", "method", "called", "reason")

# What a structure is called, beside the types of defects.
PRISTINE, DEFECTIVE, SEVERAL = "pristine", "defective", "several types"

# Å. spglib can crash at 1.1.
TOLERANCES = (0.01, 0.03, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Answer:
    """Answer of a method for one structure.

    Attributes
    ----------
    score
        The larger, the more likely the structure is defective; NaN where there is no answer.
    site_correct, type_correct
        Of a defective structure, 1 or 0; NaN where the method does not tell.
    called
        `pristine`, the type of its defects, `several types`, or `defective` where no type is told;
        empty without an answer, and for methods whose threshold is chosen later.
    confidence
        How sure the method is of its verdict, up to 1; NaN where it does not tell.
    seconds
        Processor time; NaN to have it taken from outside.
    reason
        Why there is no answer, else empty.
    """

    score: float = nan
    site_correct: float = nan
    type_correct: float = nan
    called: str = ""
    confidence: float = nan
    seconds: float = nan
    reason: str = ""


Method = Callable[["DefectStructure"], Answer]


def answers(
    structures: Iterable[DefectStructure], axis: str, name: str, method: Method
) -> pd.DataFrame:
    """Answers of a method for the structures of an axis; a failure is no answer.

    Returns
    -------
    DataFrame
        One row a structure (`COLUMNS`).
    """
    rows = []
    for one in structures:
        started = time.process_time()
        try:
            answer = method(one)
        except DefectpoolError:
            raise
        except Exception as error:  # one structure must not take the job down
            text = " ".join(f"{type(error).__name__}: {error}".split())
            answer = Answer(reason=f"the method failed ({text})")
        seconds = time.process_time() - started
        taken = seconds if np.isnan(answer.seconds) else answer.seconds
        judged = (answer.site_correct, answer.type_correct) if one.label else (nan, nan)
        rows.append(
            (axis, value_of(one), one.structure, one.host, one.formula, one.defect, one.label,
             name, answer.score, *judged, answer.called, answer.confidence, taken, len(one.atoms),
             answer.reason)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def value_of(one: DefectStructure) -> str:
    """Value of the axis that a structure stands at."""
    return one.structure.rpartition("@")[2]


def read_answers(path: Path) -> pd.DataFrame:
    """Read answers that were written to a CSV file."""
    numbers = {name: [""] for name in COLUMNS if name not in TEXTS}
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=numbers
        )
        return table[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def lattice(one: DefectStructure) -> Answer:
    """Answer of the host's own lattice: 1 defective, 0 pristine.

    Its confidence is the lowest score of its defects (`lattice.score`), 1 where there are none.
    """
    finding = analyzed(one.atoms)
    if finding.verdict == "undecided":
        return Answer(reason=finding.reason)
    names = sorted(defect.name for defect in finding.defects)
    same = names == sorted(label.name for label in one.defects)
    verdict = float(finding.verdict == "defective")
    types = {"interstitial" if d.type == "adatom" else d.type for d in finding.defects}
    called = (types.pop() if len(types) == 1 else SEVERAL) if types else PRISTINE
    sure = min((defect.score for defect in finding.defects), default=1.0)
    return Answer(verdict, float(_all_found(finding, one)), float(same), called, sure)


def _all_found(finding: Finding, one: DefectStructure) -> bool:
    """Whether each defect is less than 1 Å from one that was found."""
    from ase.geometry import get_distances

    if not finding.defects or not one.label:
        return False
    true, found = (
        np.array([defect.position for defect in listed])
        for listed in (one.defects, finding.defects)
    )
    apart = get_distances(true, found, cell=one.atoms.cell, pbc=one.atoms.pbc)[1]
    return bool((apart.min(axis=1) < SAME_SITE).all())


def spglib(one: DefectStructure) -> Answer:
    """Smallest tolerance in Å at which spglib finds a translation in a structure.

    A pristine supercell has translations, one with a defect has none: its score is infinite. At
    which tolerance a structure counts as defective is chosen later. A cell of the host itself has
    no translations either, so there is no answer for it.
    """
    from spglib import find_primitive

    if one.supercell == "1x1":
        return Answer(reason="one cell has no translations")
    atoms = one.atoms
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    for tolerance in TOLERANCES:
        primitive = find_primitive(cell, symprec=tolerance)
        if primitive is not None and len(primitive[2]) < len(atoms):
            return Answer(tolerance)
    return Answer(np.inf)


class Networks(UnseenNetworks):
    """Networks of a run as a method: the score is the mean probability.

    The confidence is that of the likelier verdict; its order is that of the entropy.
    """

    def __call__(self, one: DefectStructure) -> Answer:
        """Answer for a structure; its time is that of the graph and of the probability."""
        found = self.answer(one, one.formula)
        if found is None:
            return Answer(reason="no graph can be made of it")
        kinds = [label.kind for label in one.defects if found.atom in label.atoms]
        named = nan
        if found.defect_type is not None:
            named = float(found.defect_type in (kinds or [label.kind for label in one.defects]))
        probability = found.probability
        called = (found.defect_type or DEFECTIVE) if probability > 0.5 else PRISTINE
        sure = max(probability, 1 - probability)
        return Answer(probability, float(bool(kinds)), named, called, sure, found.seconds)


def told(table: Mapping[str, tuple[float, int, float, str]], one: DefectStructure) -> Answer:
    """Answer of a method that ran in an environment of its own.

    Parameters
    ----------
    table
        By structure: score, index of the most defective atom (-1: it does not tell), seconds, and
        why there is no answer.
    one
        The structure.
    """
    if one.structure not in table:
        raise DefectpoolError(f"{one.structure}: its answer is missing; delete the file of answers")
    score, atom, seconds, reason = table[one.structure]
    site = nan if atom < 0 else float(any(atom in label.atoms for label in one.defects))
    return Answer(score, site, seconds=seconds, reason=reason)


def told_by(path: Path) -> Method:
    """Method that reads its answers from a file that a script in `scripts/baselines` wrote."""
    texts = {"structure": str, "reason": str}
    try:
        frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={"score": [""]})
        columns = [frame[name] for name in ("score", "atom", "seconds", "reason")]
        rows = zip(*columns, strict=True)
        return partial(told, dict(zip(frame["structure"], rows, strict=True)))
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DefectpoolError:
    return reading_error(error, path) or DefectpoolError(
        f"{path}: damaged file of answers ({error}); delete it and run again"
    )
