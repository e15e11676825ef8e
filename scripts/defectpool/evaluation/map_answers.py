"""Answers of each method for the cells of the map, one row a structure.

A method gets one structure at a time, without a reference. Its score is larger for defective
structures; an empty score is a missing answer, which counts as wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation.found_defects import Judgment, judgment, type_of
from defectpool.evaluation.lattice_baseline import analyzed
from defectpool.evaluation.site_defects import site_defects
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.runtime.disk import reading_error

if TYPE_CHECKING:
    from defectpool.evaluation.site_defects import SiteDefect
    from defectpool.lattice import Defect
    from defectpool.structures.structure_files import DefectStructure

COLUMNS = (
    "axis", "value", "structure", "host", "formula", "defect", "label", "method", "score",
    "site_correct", "type_correct", "name_correct", "called", "confidence", "seconds", "atoms",
    "reason",
)  # fmt: skip
TEXTS = ("axis", "value", "structure", "host", "formula", "defect", "method", "called", "reason")

# What a structure is called, beside the types of defects.
PRISTINE, DEFECTIVE, SEVERAL = "pristine", "defective", "several types"

# Å. spglib can crash at 1.1.
TOLERANCES = (0.01, 0.03, 0.1, 0.2, 0.4)


NOTHING_TOLD = Judgment()


@dataclass(frozen=True)
class Answer:
    """Answer of a method for one structure.

    Attributes
    ----------
    score
        The larger, the more likely the structure is defective; NaN where there is no answer.
    judged
        How well the defects of a defective structure are found.
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
    judged: Judgment = NOTHING_TOLD
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
        except (DefectpoolError, MemoryError):
            raise
        except Exception as error:  # one structure must not take the job down
            text = " ".join(f"{type(error).__name__}: {error}".split())
            answer = Answer(reason=f"the method failed: {text}")
        seconds = time.process_time() - started
        taken = seconds if np.isnan(answer.seconds) else answer.seconds
        judged = answer.judged if one.label else NOTHING_TOLD
        rows.append(
            (axis, value_of(one), one.structure, one.host, one.formula, one.defect, one.label,
             name, answer.score, judged.site_correct, judged.type_correct, judged.name_correct,
             answer.called, answer.confidence, taken, len(one.atoms), answer.reason)
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
    verdict = float(finding.verdict == "defective")
    sure = min((defect.score for defect in finding.defects), default=1.0)
    judged = judgment(one.atoms, one.defects, finding.defects)
    return Answer(verdict, judged, _called(finding.defects) or PRISTINE, sure)


def _called(found: Sequence[Defect] | Sequence[SiteDefect]) -> str:
    """What a structure with these defects is called; empty where there are none."""
    types = {type_of(one) for one in found}
    return SEVERAL if len(types) > 1 else "".join(types)


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

    Those with a class for every site list defects (`evaluation.site_defects`), which are judged as
    the lattice's are; their score is 1 where they list any. Of others the most defective site is
    judged, and they name no types. The confidence is the probability of the verdict.
    """

    def __call__(self, one: DefectStructure) -> Answer:
        """Answer for a structure; its time is that of the graph and of the probability."""
        found = self.answer(one, one.formula)
        if found is None:
            return Answer(reason="no graph can be made of it")
        probability = found.probability
        if found.classes is None:
            belongs = any(found.atom in label.atoms for label in one.defects)
            score, judged = probability, Judgment(float(belongs))
            called = DEFECTIVE if score > 0.5 else PRISTINE
        else:
            listed = site_defects(one.atoms, found.classes)
            score, judged = float(bool(listed)), judgment(one.atoms, one.defects, listed)
            called = _called(listed) or PRISTINE
        sure = probability if score > 0.5 else 1 - probability
        return Answer(score, judged, called, sure, found.seconds)


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
        raise DefectpoolError(
            f"{one.structure}: its answer is missing; delete results/map/baselines and run again"
        )
    score, atom, seconds, reason = table[one.structure]
    site = nan if atom < 0 else float(any(atom in label.atoms for label in one.defects))
    return Answer(score, Judgment(site), seconds=seconds, reason=reason)


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
