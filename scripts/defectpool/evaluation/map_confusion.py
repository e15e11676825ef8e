"""Confusion on the map: structures of each type, and what each method calls them."""

from __future__ import annotations

import pandas as pd

from defectpool.evaluation.map_answers import DEFECTIVE, PRISTINE, SEVERAL
from defectpool.structures.defect_labels import DEFECT_TYPES

NO_ANSWER = "no answer"
TRUE = (PRISTINE, *DEFECT_TYPES)
CALLED = (*TRUE, SEVERAL, DEFECTIVE, NO_ANSWER)


def with_names(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers with `truth` and with `called` where a method tells no type.

    Parameters
    ----------
    answers
        Rows of `map_statistics.decided`.

    Returns
    -------
    DataFrame
        The same rows. `truth` is pristine, the type of the one defect, or `several types` for
        cells of several defects; `called` is one of `CALLED`.
    """
    one = answers["defect"].where(answers["defect"].isin(DEFECT_TYPES), SEVERAL)
    truth = one.where(answers["label"] == 1, PRISTINE)
    verdict = (answers["probability"] > 0.5).map({True: DEFECTIVE, False: PRISTINE})
    called = answers["called"].where(answers["called"] != "", verdict)
    return answers.assign(truth=truth, called=called.where(answers["score"].notna(), NO_ANSWER))


def single(named: pd.DataFrame) -> pd.DataFrame:
    """Rows of `with_names` on structures of one defect and their pristine partners."""
    return named[named["defect"].isin(DEFECT_TYPES)]


def naming(named: pd.DataFrame) -> list[str]:
    """Methods that name types of defects, in order of appearance."""
    some = named.loc[named["called"].isin(DEFECT_TYPES), "method"]
    return [method for method in dict.fromkeys(named["method"]) if (some == method).any()]


def confusion(named: pd.DataFrame) -> pd.DataFrame:
    """Counts of the structures of each type (rows, `TRUE`) and name (columns, `CALLED`).

    Parameters
    ----------
    named
        Rows of `single` on one method.
    """
    counts = pd.crosstab(named["truth"], named["called"])
    return counts.reindex(index=list(TRUE), columns=list(CALLED), fill_value=0)
