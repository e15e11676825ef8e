"""Defect-type classification: confusion matrix, accuracy, and detection by defect type."""

from pathlib import Path
from typing import Any

import pandas as pd

from defectpool.evaluation import statistics


def read(path: Path) -> pd.DataFrame:
    """Read the predicted defect types of one run."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def confusion(predictions: pd.DataFrame, defect_types: list[str]) -> pd.DataFrame:
    """Confusion matrix in long form.

    Parameters
    ----------
    predictions
        Columns defect_type and predicted.
    defect_types
        All defect types, in order.

    Returns
    -------
    DataFrame
        defect_type, predicted, count, share (of the structures of that type); all pairs of types.
    """
    counts = pd.crosstab(predictions["defect_type"], predictions["predicted"])
    counts = counts.reindex(index=defect_types, columns=defect_types, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    return pd.DataFrame(
        {
            "defect_type": [name for name in defect_types for _ in defect_types],
            "predicted": [other for _ in defect_types for other in defect_types],
            "count": counts.to_numpy().ravel(),
            "share": shares.to_numpy().ravel(),
        }
    )


def metrics(predictions: pd.DataFrame, defect_types: list[str], resamples: int) -> dict[str, Any]:
    """Accuracy with its 95 % interval, and accuracy balanced over the defect types."""
    correct = (predictions["defect_type"] == predictions["predicted"]).astype(float)
    judged = predictions[["host"]].assign(probability=correct, label=1)
    table = confusion(predictions, defect_types)
    diagonal = table[table["defect_type"] == table["predicted"]]
    return {
        **statistics.accuracy(judged, resamples).columns("accuracy"),
        "balanced_accuracy": float(diagonal["share"].mean()),
        **statistics.counts(predictions),
    }


def detection_by_defect_type(predictions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Metrics of a network trained on all defects, for each defect type.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` returns them, with a column `defect_type`: the type of
        the pair's defect, for its pristine supercell as well.
    resamples
        Bootstrap resamples of the hosts.
    """
    return pd.DataFrame(
        [
            {"defect_type": name, **statistics.run_metrics(part, resamples)}
            for name, part in predictions.groupby("defect_type", sort=False)
        ]
    )
