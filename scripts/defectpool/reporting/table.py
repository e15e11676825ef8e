"""Results table: accuracy of each run with its confidence interval, and published values."""

from collections.abc import Iterable, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectpool.evaluation import statistics
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.reporting import published

__all__ = [
    "COLUMNS", "COMPARISON_COLUMNS", "comparison_rows", "markdown", "percent", "read_csv",
    "run_row", "statistics_row", "table", "write_csv",
]  # fmt: skip

COLUMNS = [
    *RUN_KEY,
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_best_epoch", "n_hosts", "n_test",
    "published", "seconds", "device",
    "accuracy_best_epoch_low", "accuracy_best_epoch_high", "repeats", "published_differences",
]  # fmt: skip


COMPARISON_COLUMNS = [
    "defect", "supercell",
    "first_pooling", "first_convolution", "second_pooling", "second_convolution",
    "difference", "difference_low", "difference_high",
    "only_first_correct", "only_second_correct", "mcnemar_p", "n_hosts", "n_test",
]  # fmt: skip


def run_row(
    predictions: pd.DataFrame,
    audit: Mapping[str, Any],
    key: Mapping[str, str],
    resamples: int,
    differences: Iterable[str] = (),
) -> dict[str, Any]:
    """Row of the table for one run.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` returns them.
    audit
        The training's audit record (`seconds`, `device`).
    key
        `defect`, `supercell`, `pooling` and `convolution` of the run.
    resamples
        Bootstrap resamples of the hosts.
    differences
        Configuration keys that differ from the published protocol (`published.differences`).
    """
    best = statistics.accuracy(predictions, resamples, column="probability_best_epoch")
    run = {name: key[name] for name in RUN_KEY}
    return run | {
        **statistics.accuracy(predictions, resamples).columns("accuracy"),
        **best.columns("accuracy_best_epoch"),
        **statistics.counts(predictions),
        "published": published.accuracy(**run),
        "published_differences": " ".join(differences),
        "seconds": float(audit["seconds"]),
        "device": str(audit["device"]),
        "repeats": int(predictions["repeat"].nunique()),
    }


def statistics_row(
    predictions: pd.DataFrame, key: Mapping[str, str], resamples: int
) -> dict[str, Any]:
    """Row of `results/statistics.csv` for one run."""
    return {name: key[name] for name in RUN_KEY} | statistics.run_metrics(predictions, resamples)


def comparison_rows(
    runs: Iterable[tuple[Mapping[str, str], pd.DataFrame]], resamples: int
) -> list[dict[str, Any]]:
    """Rows of `results/comparisons.csv`: all pairs of runs on the same defect and supercell.

    Parameters
    ----------
    runs
        Key and predictions of each run, in the table's order.
    """
    rows = []
    done: dict[tuple[str, str], list[tuple[Mapping[str, str], pd.DataFrame]]] = {}
    for key, predictions in runs:
        before = done.setdefault((key["defect"], key["supercell"]), [])
        for other, reference in before:
            rows.append(
                {
                    "defect": key["defect"],
                    "supercell": key["supercell"],
                    "first_pooling": other["pooling"],
                    "first_convolution": other["convolution"],
                    "second_pooling": key["pooling"],
                    "second_convolution": key["convolution"],
                }
                | statistics.compare(reference, predictions, resamples)
            )
        before.append((key, predictions))
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Table of all runs with its columns in a fixed order."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def read_csv(path: Path) -> pd.DataFrame:
    """Read `results/table.csv`."""
    frame = pd.read_csv(path, dtype={"published_differences": str})
    return frame.assign(published_differences=frame["published_differences"].fillna(""))


def markdown(frame: pd.DataFrame) -> str:
    """Table in Markdown, in the layout of the published one, in percent.

    One row per defect and supercell. For each pooling: the accuracy with its 95 % interval, the
    accuracy at the epoch chosen on the test structures, and the published value.
    """
    several = frame["convolution"].nunique() > 1
    networks = list(dict.fromkeys(zip(frame["pooling"], frame["convolution"], strict=True)))
    differing = str(frame["published_differences"].iloc[0])
    header = ["Defect", "Supercell"]
    for pooling, convolution in networks:
        name = f"{pooling}, {convolution}" if several else pooling
        header += [f"**{name}**", f"{name}, best epoch", f"{name}, {published.label(differing)}"]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    runs = {tuple(row[name] for name in RUN_KEY): row for row in frame.to_dict("records")}
    for defect, supercell in dict.fromkeys(zip(frame["defect"], frame["supercell"], strict=True)):
        line = [str(defect), f"{supercell}x1" if "_" not in supercell else str(supercell)]
        for network in networks:
            line += _markdown_cells(runs.get((defect, supercell, *network)))
        lines.append(line)
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"# Accuracy in percent\n\n{body}\n\n{_markdown_note(frame, differing)}\n"


def _markdown_cells(run: Mapping[Any, Any] | None) -> list[str]:
    if run is None:
        return ["–"] * 3
    interval = f"{percent(run['accuracy_low'])}–{percent(run['accuracy_high'])}"
    return [
        f"**{percent(run['accuracy'])}** ({interval})",
        percent(run["accuracy_best_epoch"]),
        percent(run["published"]),
    ]


def _markdown_note(frame: pd.DataFrame, differing: str) -> str:
    return (
        f"Binary classification, defective or pristine: {_range(frame['n_hosts'])} hosts and "
        f"{_range(frame['n_test'])} test structures per run, half of them pristine, so guessing "
        "gives 50. Bold: accuracy on hosts whose formulas were not in the training set, at the "
        "epoch chosen on validation formulas, with its 95 % interval from a bootstrap over hosts. "
        "Best epoch: accuracy at the epoch chosen on the test hosts, which is biased upward. "
        f"{published.note(differing)} –: not reported or not run."
    )


def percent(fraction: float) -> str:
    """Format a fraction of 1 in percent with one decimal, or a dash for NaN."""
    return "–" if isnan(fraction) else f"{100 * fraction:.1f}"


def _range(values: pd.Series) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return f"{low}" if low == high else f"{low} to {high}"
