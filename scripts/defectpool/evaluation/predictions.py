"""Artifacts of a run, read and validated: predictions, history and audit record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.runtime.disk import reading_error

TEXTS = ("structure", "host", "formula", "pair", "name")
PREDICTION_COLUMNS = (*TEXTS, "repeat", "fold", "label", "probability", "probability_best_epoch")
HISTORY_COLUMNS = (
    "repeat", "fold", "epoch", "loss", "train_accuracy", "validation_accuracy", "test_accuracy",
)  # fmt: skip


def read_predictions(path: Path) -> pd.DataFrame:
    """Read the predictions of one run: one row per test structure and repeat.

    Raises
    ------
    DefectpoolError
        The file is missing, cut short, lacks a column, names a structure twice in a repeat, or
        holds a probability outside [0, 1] or a label other than 0 and 1.
    """
    predictions = _read(path, PREDICTION_COLUMNS, dict.fromkeys(TEXTS, str))
    for column in ("probability", "probability_best_epoch"):
        values = predictions[column].to_numpy(dtype=float)
        if not np.all((values >= 0) & (values <= 1)):
            raise _damaged(path, f"{column} has values outside 0 to 1")
    if not predictions["label"].isin((0, 1)).all():
        raise _damaged(path, "a label is neither 0 nor 1")
    if predictions.duplicated(["structure", "repeat"]).any():
        raise _damaged(path, "a structure occurs twice in a repeat")
    return predictions


def read_history(path: Path) -> pd.DataFrame:
    """Read the history of one run: one row per repeat, fold and epoch."""
    return _read(path, HISTORY_COLUMNS, {})


def read_audit(path: Path) -> dict[str, Any]:
    """Read an audit record."""
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise reading_error(error, path) or _damaged(path, str(error)) from None
    if not isinstance(audit, dict):
        raise _damaged(path, "not a record")
    return audit


def _read(path: Path, columns: tuple[str, ...], types: dict[str, Any]) -> pd.DataFrame:
    try:
        # "NaN" may be a formula (sodium nitride), so no text is read as a missing value.
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values={}, comment=None)
    except (OSError, ValueError) as error:
        raise reading_error(error, path) or _damaged(path, str(error)) from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    if table.empty:
        raise _damaged(path, "it is empty")
    for column in columns:
        if column not in types and not pd.api.types.is_numeric_dtype(table[column]):
            raise _damaged(path, f"{column} has values that are not numbers")
    return table


def _damaged(path: Path, problem: str) -> DefectpoolError:
    return DefectpoolError(f"{path}: cannot be used ({problem}); delete it and run again")
