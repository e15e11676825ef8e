"""Plots: readable in grey and by the colour-blind, with units and intervals, always the same bytes.

Every function takes a tidy table and the names of the files to write; the suffix (.svg, .png)
decides the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from defectpool.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours for the colour-blind, of different lightness, each with its own marker.
STYLES: dict[str, dict[str, Any]] = {
    "mean": {"color": "#0072B2", "marker": "o"},
    "max": {"color": "#D55E00", "marker": "^"},
    "contrast": {"color": "#000000", "marker": "D"},
    "sum": {"color": "#009E73", "marker": "s"},
    "softmax": {"color": "#CC79A7", "marker": "v"},
}
SEQUENTIAL = "cividis"
DOTS_PER_INCH = 200


@contextmanager
def _style() -> Iterator[None]:
    """Set up seaborn for paper, and matplotlib so that equal plots are equal files."""
    import matplotlib as mpl

    mpl.use("Agg")
    import seaborn as sns

    settings = sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85)
    settings |= {
        "svg.hashsalt": "defectpool",
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "axes.grid": True,
        "grid.color": "0.9",
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 100,
    }
    with mpl.rc_context(settings):
        yield


def _save(figure: Figure, paths: Sequence[Path]) -> None:
    import matplotlib.pyplot as plt

    for path in map(Path, paths):
        suffix = path.suffix.removeprefix(".")
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        with replacing(path) as temporary:
            figure.savefig(
                temporary,
                format=suffix,
                dpi=DOTS_PER_INCH,
                bbox_inches="tight",
                metadata=metadata,
            )
    plt.close(figure)


def _ordered(values: pd.Series) -> list[Any]:
    return list(dict.fromkeys(values))


def _names(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Pooling, convolution and label of every line, in the table's order."""
    several = frame["convolution"].nunique() > 1
    pairs = dict.fromkeys(zip(frame["pooling"], frame["convolution"], strict=True))
    return [(p, c, f"{p}, {c}" if several else p) for p, c in pairs]


def _line(convolution: str) -> Literal["-", "--"]:
    return "-" if convolution == "gated" else "--"


def _chance(axes: Axes) -> None:
    axes.axhline(50, color="0.45", linestyle=":", linewidth=1, zorder=1)


def accuracy_by_supercell(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against supercell for each defect and pooling, with published points.

    Parameters
    ----------
    table
        Rows of `results/table.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    defects, supercells = _ordered(table["defect"]), _ordered(table["supercell"])
    names = _names(table)
    shift = (np.arange(len(names)) - (len(names) - 1) / 2) * min(0.3, 0.7 / len(names))
    with _style():
        figure, grid = plt.subplots(
            1,
            len(defects),
            figsize=(1.1 + max(1.9, 0.9 * len(supercells)) * len(defects), 3.4),
            sharey=True,
            squeeze=False,
        )
        for axes, defect in zip(grid[0], defects, strict=True):
            _chance(axes)
            for (pooling, convolution, _), offset in zip(names, shift, strict=True):
                rows = table[
                    (table["defect"] == defect)
                    & (table["pooling"] == pooling)
                    & (table["convolution"] == convolution)
                ]
                x = np.array([supercells.index(cell) for cell in rows["supercell"]]) + offset
                y = 100 * rows["accuracy"].to_numpy(float)
                low = y - 100 * rows["accuracy_low"].to_numpy(float)
                high = 100 * rows["accuracy_high"].to_numpy(float) - y
                axes.errorbar(
                    x,
                    y,
                    yerr=np.clip([low, high], 0, None),
                    linestyle=_line(convolution),
                    linewidth=1,
                    elinewidth=1.6,
                    capsize=3,
                    markersize=6,
                    zorder=3,
                    **STYLES[pooling],
                )
                axes.plot(
                    x + 0.4 * min(0.3, 0.7 / len(names)),
                    100 * rows["published"].to_numpy(float),
                    linestyle="none",
                    marker=STYLES[pooling]["marker"],
                    markersize=9,
                    markerfacecolor="none",
                    markeredgecolor=STYLES[pooling]["color"],
                    markeredgewidth=1.1,
                    zorder=2,
                )
            axes.set_title(str(defect))
            axes.set_xticks(range(len(supercells)), supercells)
            axes.set_xlim(-0.6, len(supercells) - 0.4)
            axes.set_xlabel("supercell")
            axes.grid(axis="x", visible=False)
        grid[0][0].set_ylabel("accuracy on unseen formulas (%)")
        bottom = min(45.0, 100 * float(table["accuracy_low"].min()) - 2)
        grid[0][0].set_ylim(bottom, 101.5)
        handles = [
            Line2D([], [], linestyle=_line(c), linewidth=1, label=label, **STYLES[p])
            for p, c, label in names
        ]
        handles += [
            Line2D(
                [], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none",
                markeredgecolor="0.3", label="published (open)",
            ),
            Line2D([], [], color="0.45", linestyle=":", linewidth=1, label="guessing"),
        ]  # fmt: skip
        figure.tight_layout()
        figure.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles)
        )
        _save(figure, paths)


def learning_curves(histories: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against epoch on training and test structures, for each defect and supercell.

    Lines are means over folds and repeats, bands reach one standard deviation to both sides.

    Parameters
    ----------
    histories
        Rows of all `history.csv` with columns defect, supercell, pooling and convolution added.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    defects, supercells = _ordered(histories["defect"]), _ordered(histories["supercell"])
    names = _names(histories)
    curves = {
        entry: rows.groupby("epoch")[["train_accuracy", "test_accuracy"]]
        for entry, rows in histories.groupby(_KEY, sort=False)
    }
    low = min(float((c.mean() - c.std(ddof=0)).to_numpy().min()) for c in curves.values())
    with _style():
        figure, grid = plt.subplots(
            len(supercells),
            len(defects),
            figsize=(1 + 2.3 * len(defects), 0.8 + 1.9 * len(supercells)),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                _chance(axes)
                for pooling, convolution, _ in names:
                    key = (defect, supercell, pooling, convolution)
                    if key not in curves:
                        continue
                    y, deviation = 100 * curves[key].mean(), 100 * curves[key].std(ddof=0)
                    epochs = y.index.to_numpy()
                    style = STYLES[pooling]
                    mark = max(1, len(epochs) // 6)
                    axes.plot(
                        epochs, y["train_accuracy"], color=style["color"], linestyle="--",
                        linewidth=1,
                    )  # fmt: skip
                    axes.plot(
                        epochs, y["test_accuracy"], markevery=(mark - 1, mark), markersize=4.5,
                        linewidth=1.5, linestyle="-", **style,
                        markerfacecolor=style["color"] if convolution == "gated" else "white",
                    )  # fmt: skip
                    axes.fill_between(
                        epochs,
                        y["test_accuracy"] - deviation["test_accuracy"],
                        y["test_accuracy"] + deviation["test_accuracy"],
                        color=style["color"], alpha=0.18, linewidth=0,
                    )  # fmt: skip
                if row == 0:
                    axes.set_title(str(defect))
                if row == len(supercells) - 1:
                    axes.set_xlabel("epoch")
                if column == 0:
                    axes.set_ylabel(f"{supercell}\naccuracy (%)")
        grid[0][0].set_ylim(max(0, min(45, 100 * low - 2)), 102)
        handles = [
            Line2D(
                [], [], linewidth=1.5, label=label, **STYLES[p],
                markerfacecolor=STYLES[p]["color"] if c == "gated" else "white",
            )
            for p, c, label in names
        ]  # fmt: skip
        handles += [
            Line2D([], [], color="0.3", linewidth=1.5, label="test folds"),
            Line2D([], [], color="0.3", linewidth=1, linestyle="--", label="training"),
        ]
        figure.tight_layout()
        figure.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles)
        )
        _save(figure, paths)


_KEY = ["defect", "supercell", "pooling", "convolution"]
