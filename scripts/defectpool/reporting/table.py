"""The table: accuracy of each entry with its interval, beside the published figure."""

from collections.abc import Iterable, Mapping
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectpool.evaluation import statistics
from defectpool.runtime.atomic_write import replacing

PUBLISHED = "published.csv"

KEY = ["defect", "supercell", "pooling", "convolution"]
COLUMNS = [
    *KEY,
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_best_epoch", "n_hosts", "n_test",
    "published", "seconds", "device",
    "accuracy_best_epoch_low", "accuracy_best_epoch_high", "repeats",
]  # fmt: skip


COMPARISON_COLUMNS = [
    "defect", "supercell",
    "first_pooling", "first_convolution", "second_pooling", "second_convolution",
    "difference", "difference_low", "difference_high",
    "only_first_right", "only_second_right", "mcnemar_p", "n_hosts", "n_test",
]  # fmt: skip


def published() -> pd.DataFrame:
    """Read the published accuracies as fractions of 1; NaN: none given.

    They were got with the gated convolution and, as far as can be told, with the epoch chosen on
    the test structures.
    """
    return pd.read_csv(Path(__file__).parent / PUBLISHED, keep_default_na=True)


def published_accuracy(defect: str, supercell: str, pooling: str, convolution: str) -> float:
    """Return the published accuracy of an entry as a fraction of 1, or NaN."""
    if convolution != "gated":
        return nan
    rows = published().query(
        "defect == @defect and supercell == @supercell and pooling == @pooling"
    )
    return float(rows["accuracy"].iloc[0]) if len(rows) else nan


def entry_row(
    predictions: pd.DataFrame, audit: Mapping[str, Any], key: Mapping[str, str], resamples: int
) -> dict[str, Any]:
    """Row of the table for one entry.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` gives them.
    audit
        The training's audit record (`seconds`, `device`).
    key
        `defect`, `supercell`, `pooling` and `convolution` of the entry.
    resamples
        Bootstrap resamples of the hosts.
    """
    best = statistics.accuracy(predictions, resamples, column="probability_best_epoch")
    entry = {name: key[name] for name in KEY}
    return entry | {
        **statistics.accuracy(predictions, resamples).columns("accuracy"),
        **best.columns("accuracy_best_epoch"),
        **statistics.counts(predictions),
        "published": published_accuracy(**entry),
        "seconds": float(audit["seconds"]),
        "device": str(audit["device"]),
        "repeats": int(predictions["repeat"].nunique()),
    }


def statistics_row(
    predictions: pd.DataFrame, key: Mapping[str, str], resamples: int
) -> dict[str, Any]:
    """Row of `results/statistics.csv` for one entry."""
    return {name: key[name] for name in KEY} | statistics.entry(predictions, resamples)


def comparison_rows(
    entries: Iterable[tuple[Mapping[str, str], pd.DataFrame]], resamples: int
) -> list[dict[str, Any]]:
    """Rows of `results/comparisons.csv`: each two poolings (or convolutions) of a defect and cell.

    Parameters
    ----------
    entries
        Key and predictions of each entry, in the table's order.
    """
    rows = []
    done: dict[tuple[str, str], list[tuple[Mapping[str, str], pd.DataFrame]]] = {}
    for key, predictions in entries:
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
    """Put the rows of all entries together in the fixed order of columns."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with six significant digits: the same bytes for the same figures."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write_csv` wrote."""
    return pd.read_csv(path)


def markdown(frame: pd.DataFrame) -> str:
    """Set the table in the layout of the published one: ours beside theirs, in per cent.

    One row a defect and supercell; for each pooling the accuracy with its 95 % interval, the
    accuracy with the epoch chosen on the test structures, and the published figure.
    """
    several = frame["convolution"].nunique() > 1
    kinds = list(dict.fromkeys(zip(frame["pooling"], frame["convolution"], strict=True)))
    header = ["Defect", "Supercell"]
    for pooling, convolution in kinds:
        name = f"{pooling}, {convolution}" if several else pooling
        header += [f"**{name}**", f"{name}, best epoch", f"{name}, published"]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    cells = {tuple(row[name] for name in KEY): row for row in frame.to_dict("records")}
    for defect, supercell in dict.fromkeys(zip(frame["defect"], frame["supercell"], strict=True)):
        line = [str(defect), f"{supercell}x1" if "_" not in supercell else str(supercell)]
        for pooling, convolution in kinds:
            place = (defect, supercell, pooling, convolution)
            if place in cells:
                row = cells[place]
                line += [
                    f"**{percent(row['accuracy'])}** "
                    f"({percent(row['accuracy_low'])}–{percent(row['accuracy_high'])})",
                    percent(row["accuracy_best_epoch"]),
                    percent(row["published"]),
                ]
            else:
                line += ["–"] * 3
        lines.append(line)
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    hosts, tests = _range(frame["n_hosts"]), _range(frame["n_test"])
    return (
        "# Accuracy in per cent: is there a defect?\n\n"
        f"{body}\n\n"
        f"{hosts} hosts and {tests} test structures an entry, half of them pristine, so guessing "
        "gives 50. In bold: tested on hosts of formulas that were not trained on, with the epoch "
        "chosen on validation formulas; in brackets its 95 % interval from a bootstrap over hosts. "
        "*Best epoch*: with the epoch chosen on the test hosts themselves, which flatters, as the "
        "published table has it. –: not reported or not run.\n"
    )


def percent(fraction: float) -> str:
    """Write a fraction of 1 in per cent with one decimal; a dash where there is none."""
    return "–" if isnan(fraction) else f"{100 * fraction:.1f}"


def _range(values: pd.Series) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return f"{low}" if low == high else f"{low} to {high}"
