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
    "outlier": {"color": "#E69F00", "marker": "P"},
    "sum": {"color": "#009E73", "marker": "s"},
    "softmax": {"color": "#CC79A7", "marker": "v"},
}
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\")  # of bars
SEQUENTIAL = "cividis"  # of heat maps
DOTS_PER_INCH = 200

_KEY = ["defect", "supercell", "pooling", "convolution"]


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


def calibration(predictions: pd.DataFrame, paths: Sequence[Path], bins: int = 5) -> None:
    """Share of defective structures against predicted probability, for each defect and supercell.

    Each line joins bins of equally many predictions; bars are 95 % Wilson intervals of the share.

    Parameters
    ----------
    predictions
        Predictions of all entries with columns defect, supercell, pooling and convolution added.
    paths
        Files to write.
    bins
        Bins of an entry.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from statsmodels.stats.proportion import proportion_confint

    defects, supercells = _ordered(predictions["defect"]), _ordered(predictions["supercell"])
    names = _names(predictions)
    with _style():
        figure, grid = plt.subplots(
            len(supercells),
            len(defects),
            figsize=(1 + 2.1 * len(defects), 0.8 + 2.0 * len(supercells)),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                axes.plot([0, 1], [0, 1], color="0.45", linestyle=":", linewidth=1, zorder=1)
                for pooling, convolution, _ in names:
                    part = _of(predictions, (defect, supercell, pooling, convolution))
                    if part.empty:
                        continue
                    binned = [
                        part.iloc[rows]
                        for rows in np.array_split(
                            np.argsort(part["probability"].to_numpy(), kind="stable"), bins
                        )
                        if len(rows)
                    ]
                    x = np.array([b["probability"].mean() for b in binned])
                    y = np.array([b["label"].mean() for b in binned])
                    low, high = proportion_confint(
                        np.array([b["label"].sum() for b in binned]),
                        np.array([len(b) for b in binned]),
                        method="wilson",
                    )
                    axes.errorbar(
                        x, y, yerr=np.clip([y - low, high - y], 0, None), markersize=4.5,
                        linewidth=1, elinewidth=1, capsize=2, linestyle=_line(convolution),
                        **STYLES[pooling],
                    )  # fmt: skip
                if row == 0:
                    axes.set_title(str(defect))
                if row == len(supercells) - 1:
                    axes.set_xlabel("predicted probability")
                if column == 0:
                    axes.set_ylabel(f"{supercell}\nshare defective")
        grid[0][0].set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        handles = [
            Line2D([], [], linestyle=_line(c), linewidth=1, label=label, **STYLES[p])
            for p, c, label in names
        ]
        handles.append(Line2D([], [], color="0.45", linestyle=":", linewidth=1, label="calibrated"))
        figure.tight_layout()
        figure.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles)
        )
        _save(figure, paths)


def distances_to_defect(located: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Share of structures whose picked site is within a distance of the defect, against chance.

    Parameters
    ----------
    located
        Rows of `localization.locate` of all entries, with columns defect, supercell, pooling and
        convolution added. Each pooling is shown by its own way to pick.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    defects, supercells = _ordered(located["defect"]), _ordered(located["supercell"])
    names = _names(located)
    top = float(np.ceil(located["distance"].max()))
    edges = np.arange(0, top + 1.5)  # 1 Å wide
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
                here = located[(located["defect"] == defect) & (located["supercell"] == supercell)]
                for pooling, convolution, _ in names:
                    part = _of(here, (defect, supercell, pooling, convolution))
                    if part.empty:
                        continue
                    part = part[part["method"] == part["method"].iloc[0]]
                    share, _ = np.histogram(part["distance"], edges)
                    axes.stairs(
                        100 * share / len(part), edges, color=STYLES[pooling]["color"],
                        linestyle=_line(convolution), linewidth=1.5,
                    )  # fmt: skip
                    centres = (edges[1:] + edges[:-1]) / 2
                    axes.plot(
                        centres, 100 * share / len(part), linestyle="none", markersize=4.5,
                        **STYLES[pooling],
                    )  # fmt: skip
                if len(here):
                    axes.axvline(
                        here["chance_distance"].mean(), color="0.45", linestyle=":", linewidth=1
                    )
                if row == 0:
                    axes.set_title(str(defect))
                if row == len(supercells) - 1:
                    axes.set_xlabel("distance to defect (Å)")
                if column == 0:
                    axes.set_ylabel(f"{supercell}\nstructures (%)")
        grid[0][0].set_xlim(0, edges[-1])
        grid[0][0].set_ylim(bottom=0)
        handles = [
            Line2D([], [], linestyle=_line(c), linewidth=1.5, label=label, **STYLES[p])
            for p, c, label in names
        ]
        handles.append(
            Line2D(
                [], [], color="0.45", linestyle=":", linewidth=1,
                label="mean distance of a site drawn at random",
            )
        )  # fmt: skip
        figure.tight_layout()
        figure.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles)
        )
        _save(figure, paths)


def cost(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Seconds that each entry took to train and test.

    Parameters
    ----------
    table
        Rows of `results/table.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    names = _names(table)
    places = list(dict.fromkeys(zip(table["defect"], table["supercell"], strict=True)))
    with _style():
        figure, axes = plt.subplots(figsize=(6, 0.8 + (0.16 + 0.14 * len(names)) * len(places)))
        height = 0.8 / len(names)
        for i, (pooling, convolution, label) in enumerate(names):
            rows = table[(table["pooling"] == pooling) & (table["convolution"] == convolution)]
            y = [
                places.index(place) + (i - (len(names) - 1) / 2) * height
                for place in zip(rows["defect"], rows["supercell"], strict=True)
            ]
            axes.barh(
                y,
                rows["seconds"],
                height=0.92 * height,
                color=STYLES[pooling]["color"],
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                linewidth=0.5,
                label=label,
            )
        axes.set_yticks(range(len(places)), [f"{defect} {cell}" for defect, cell in places])
        axes.invert_yaxis()
        axes.set_xlabel(f"training and testing (s) on {', '.join(_ordered(table['device']))}")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        _save(figure, paths)


def entry(history: pd.DataFrame, predictions: pd.DataFrame, title: str, path: Path) -> None:
    """One entry at a glance: learning curves of its folds and the probabilities that it gave.

    Parameters
    ----------
    history, predictions
        Of one entry.
    title
        What entry it is.
    path
        File to write.
    """
    import matplotlib.pyplot as plt

    with _style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.1))
        _chance(left)
        for which, colour, line in (("train", "0.55", "--"), ("test", "#0072B2", "-")):
            by_fold = history.groupby(["repeat", "fold"])
            for _, fold in by_fold:
                left.plot(
                    fold["epoch"], 100 * fold[f"{which}_accuracy"], color=colour, linestyle=line,
                    linewidth=0.6, alpha=0.6,
                )  # fmt: skip
            mean = 100 * history.groupby("epoch")[f"{which}_accuracy"].mean()
            left.plot(mean.index, mean, color=colour, linestyle=line, linewidth=2, label=which)
        left.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(35, 102))
        above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
        left.legend(**above)
        bins = np.linspace(0, 1, 21)
        for label, name, style in (
            (1, "defective", {"color": "#D55E00", "hatch": ""}),
            (0, "perfect", {"color": "#56B4E9", "hatch": "///"}),
        ):
            values = predictions.loc[predictions["label"] == label, "probability"]
            right.hist(
                values, bins, label=name, alpha=0.65, edgecolor="0.25", linewidth=0.5, **style
            )
        right.axvline(0.5, color="0.45", linestyle=":", linewidth=1)
        right.set(xlabel="predicted probability of a defect", ylabel="test structures")
        right.grid(axis="x", visible=False)
        right.legend(**above)
        figure.suptitle(title)
        figure.tight_layout()
        _save(figure, [path])


def _of(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    """Rows of one entry."""
    chosen = np.ones(len(frame), dtype=bool)
    for name, value in zip(_KEY, key, strict=True):
        chosen &= (frame[name] == value).to_numpy()
    return frame[chosen]
