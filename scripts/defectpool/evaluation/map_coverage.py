"""Coverage curves: how often a method is right where its least certain answers are withheld."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from defectpool.evaluation.statistics import is_correct

# Share of right answers that is asked for.
WANTED = 0.99


def coverage_curve(answers: pd.DataFrame) -> pd.DataFrame:
    """Coverage curve of a method.

    Parameters
    ----------
    answers
        Rows of `map_statistics.decided` on one method. Those without an answer are never covered.

    Returns
    -------
    DataFrame
        A row for each distinct confidence, from the highest: confidence, coverage (share of all
        structures with an answer of at least this confidence), accuracy (share of right verdicts
        among these). Without rows where the method does not tell how sure it is.
    """
    told = answers["score"].notna() & answers["confidence"].notna()
    some = answers[told].assign(right=is_correct(answers[told]))
    of_each = some.groupby("confidence")["right"].agg(["sum", "size"])[::-1].cumsum()
    return pd.DataFrame(
        {
            "confidence": of_each.index.to_numpy(float),
            "coverage": of_each["size"].to_numpy(float) / max(len(answers), 1),
            "accuracy": of_each["sum"].to_numpy(float) / of_each["size"].to_numpy(float),
        }
    )


def coverage_at(curve: pd.DataFrame, accuracy: float = WANTED) -> float:
    """Largest coverage at which so large a share of the answers is right; 0 if there is none."""
    return float(curve["coverage"].where(curve["accuracy"] >= accuracy, 0.0).max())


def coverage_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Coverage of each method along each axis.

    Returns
    -------
    DataFrame
        axis, method, n_structures, answered (share), accuracy (of the answers), coverage (largest
        one at which `WANTED` of the answers are right), confidence (that it takes; NaN where no
        coverage does). Methods that do not tell how sure they are have no row.
    """
    rows: list[dict[str, Any]] = []
    for (axis, method), part in answers.groupby(["axis", "method"], sort=False):
        curve = coverage_curve(part)
        if curve.empty:
            continue
        coverage = coverage_at(curve)
        reached = curve.loc[curve["coverage"] == coverage, "confidence"]
        row = {"axis": axis, "method": method, "n_structures": len(part)}
        row |= {"answered": curve["coverage"].iloc[-1], "accuracy": curve["accuracy"].iloc[-1]}
        row |= {"coverage": coverage, "confidence": reached.min() if len(reached) else np.nan}
        rows.append(row)
    axes = list(dict.fromkeys(answers["axis"]))
    return pd.DataFrame(rows).sort_values(
        "axis", key=lambda axis: axis.map(axes.index), kind="stable"
    )
