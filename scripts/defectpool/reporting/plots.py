"""Plots: readable in gray and by the color-blind, with units and intervals, always the same bytes.

Every function takes a tidy table and the names of the files to write; the suffix (.svg, .png)
decides the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectpool.reporting.style import (
    HATCHES,
    STYLES,
    accuracy_bars,
    accuracy_limits,
    dotted,
    handles_of,
    house_style,
    label_panels,
    legend_below,
    line_of,
    mark_guessing,
    names_of,
    ordered,
    panels,
    rows_of,
    save,
)
from defectpool.reporting.table import KEY


def accuracy_by_supercell(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against supercell for each defect and pooling, with published points.

    Parameters
    ----------
    table
        Rows of `results/table.csv`.
    paths
        Files to write.
    """
    from matplotlib.lines import Line2D

    defects, supercells = ordered(table["defect"]), ordered(table["supercell"])
    names = names_of(table)
    shift = (np.arange(len(names)) - (len(names) - 1) / 2) * min(0.3, 0.7 / len(names))
    with house_style():
        width = 1.1 + max(1.9, 0.9 * len(supercells)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.4)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for (pooling, convolution, _), offset in zip(names, shift, strict=True):
                rows = rows_of(table, defect=defect, pooling=pooling, convolution=convolution)
                x = np.array([supercells.index(cell) for cell in rows["supercell"]]) + offset
                y, bars = accuracy_bars(rows)
                axes.errorbar(
                    x,
                    y,
                    yerr=bars,
                    linestyle=line_of(convolution),
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
        grid[0][0].set_ylim(accuracy_limits(table))
        published = Line2D(
            [], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none",
            markeredgecolor="0.3", label="published (open)",
        )  # fmt: skip
        handles = [*handles_of(names, 1), published, dotted("guessing")]
        legend_below(figure, handles)
        save(figure, paths)


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
    from matplotlib.lines import Line2D

    defects, supercells = ordered(histories["defect"]), ordered(histories["supercell"])
    names = names_of(histories)
    curves = {
        entry: rows.groupby("epoch")[["train_accuracy", "test_accuracy"]]
        for entry, rows in histories.groupby(KEY, sort=False)
    }
    low = min(float((c.mean() - c.std(ddof=0)).to_numpy().min()) for c in curves.values())
    with house_style():
        width, height = 1 + 2.3 * len(defects), 0.8 + 1.9 * len(supercells)
        figure, grid = panels(len(supercells), len(defects), width, height, sharex=True)
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                mark_guessing(axes)
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
        label_panels(grid, supercells, defects, "epoch", "accuracy (%)")
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
        legend_below(figure, handles)
        save(figure, paths)


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
    from statsmodels.stats.proportion import proportion_confint

    defects, supercells = ordered(predictions["defect"]), ordered(predictions["supercell"])
    names = names_of(predictions)
    with house_style():
        width, height = 1 + 2.1 * len(defects), 0.8 + 2.0 * len(supercells)
        figure, grid = panels(len(supercells), len(defects), width, height, sharex=True)
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                here = rows_of(predictions, defect=defect, supercell=supercell)
                axes.plot([0, 1], [0, 1], color="0.45", linestyle=":", linewidth=1, zorder=1)
                for pooling, convolution, _ in names:
                    part = rows_of(here, pooling=pooling, convolution=convolution)
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
                        linewidth=1, elinewidth=1, capsize=2, linestyle=line_of(convolution),
                        **STYLES[pooling],
                    )  # fmt: skip
        label_panels(grid, supercells, defects, "predicted probability", "share defective")
        grid[0][0].set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        handles = [*handles_of(names, 1), dotted("calibrated")]
        legend_below(figure, handles)
        save(figure, paths)


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
    defects, supercells = ordered(located["defect"]), ordered(located["supercell"])
    names = names_of(located)
    top = float(np.ceil(located["distance"].max()))
    edges = np.arange(0, top + 1.5)  # 1 Å wide
    with house_style():
        width, height = 1 + 2.3 * len(defects), 0.8 + 1.9 * len(supercells)
        figure, grid = panels(len(supercells), len(defects), width, height, sharex=True)
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                here = rows_of(located, defect=defect, supercell=supercell)
                for pooling, convolution, _ in names:
                    part = rows_of(here, pooling=pooling, convolution=convolution)
                    if part.empty:
                        continue
                    part = part[part["method"] == part["method"].iloc[0]]
                    share, _ = np.histogram(part["distance"], edges)
                    axes.stairs(
                        100 * share / len(part), edges, color=STYLES[pooling]["color"],
                        linestyle=line_of(convolution), linewidth=1.5,
                    )  # fmt: skip
                    centers = (edges[1:] + edges[:-1]) / 2
                    axes.plot(
                        centers, 100 * share / len(part), linestyle="none", markersize=4.5,
                        **STYLES[pooling],
                    )  # fmt: skip
                if len(here):
                    axes.axvline(
                        here["chance_distance"].mean(), color="0.45", linestyle=":", linewidth=1
                    )
        label_panels(grid, supercells, defects, "distance to defect (Å)", "structures (%)")
        grid[0][0].set_xlim(0, edges[-1])
        grid[0][0].set_ylim(bottom=0)
        handles = [*handles_of(names, 1.5), dotted("mean distance of a site drawn at random")]
        legend_below(figure, handles)
        save(figure, paths)


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

    names = names_of(table)
    places = list(dict.fromkeys(zip(table["defect"], table["supercell"], strict=True)))
    with house_style():
        figure, axes = plt.subplots(figsize=(6, 0.8 + (0.16 + 0.14 * len(names)) * len(places)))
        height = 0.8 / len(names)
        for i, (pooling, convolution, label) in enumerate(names):
            rows = rows_of(table, pooling=pooling, convolution=convolution)
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
        axes.set_xlabel(f"training and testing (s) on {', '.join(ordered(table['device']))}")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, paths)


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

    with house_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.1))
        mark_guessing(left)
        for which, color, line in (("train", "0.55", "--"), ("test", "#0072B2", "-")):
            by_fold = history.groupby(["repeat", "fold"])
            for _, fold in by_fold:
                left.plot(
                    fold["epoch"], 100 * fold[f"{which}_accuracy"], color=color, linestyle=line,
                    linewidth=0.6, alpha=0.6,
                )  # fmt: skip
            mean = 100 * history.groupby("epoch")[f"{which}_accuracy"].mean()
            left.plot(mean.index, mean, color=color, linestyle=line, linewidth=2, label=which)
        left.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(35, 102))
        above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
        left.legend(**above)
        bins = np.linspace(0, 1, 21)
        for label, name, style in (
            (1, "defective", {"color": "#D55E00", "hatch": ""}),
            (0, "pristine", {"color": "#56B4E9", "hatch": "///"}),
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
        save(figure, [path])
