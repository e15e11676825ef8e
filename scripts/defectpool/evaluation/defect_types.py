"""All defects at once: how often each is found, and how often it is taken for another."""

from pathlib import Path
from typing import Any

import pandas as pd

from defectpool.evaluation import statistics


def read(path: Path) -> pd.DataFrame:
    """Read predictions of the kind that `table.write_csv` wrote."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def confusion(predictions: pd.DataFrame, kinds: list[str]) -> pd.DataFrame:
    """Count how often each kind is taken for each.

    Parameters
    ----------
    predictions
        Columns defect_type and predicted.
    kinds
        All kinds, in order.

    Returns
    -------
    DataFrame
        defect_type, predicted, count, share (of the structures of that kind); all pairs of kinds.
    """
    counts = pd.crosstab(predictions["defect_type"], predictions["predicted"])
    counts = counts.reindex(index=kinds, columns=kinds, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    return pd.DataFrame(
        {
            "defect_type": [kind for kind in kinds for _ in kinds],
            "predicted": [other for _ in kinds for other in kinds],
            "count": counts.to_numpy().ravel(),
            "share": shares.to_numpy().ravel(),
        }
    )


def figures(predictions: pd.DataFrame, kinds: list[str], resamples: int) -> dict[str, Any]:
    """Accuracy with its 95 % interval, and balanced over the kinds."""
    right = (predictions["defect_type"] == predictions["predicted"]).astype(float)
    judged = predictions[["host"]].assign(probability=right, label=1)
    table = confusion(predictions, kinds)
    own = table[(table["defect_type"] == table["predicted"])]
    return {
        **statistics.accuracy(judged, resamples).columns("accuracy"),
        "balanced_accuracy": float(own["share"].mean()),
        **statistics.counts(predictions),
    }


def by_kind(predictions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Accuracy of a network for any defect on each kind of defect and its pristine supercells.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` gives them, with a column `defect_type`: the kind of the
        pair's defect.
    resamples
        Bootstrap resamples of the hosts.
    """
    rows = []
    for kind, part in predictions.groupby("defect_type", sort=False):
        rows.append({"defect_type": kind, **statistics.entry(part, resamples)})
    return pd.DataFrame(rows)
