"""Plots beyond the table: other supercells, displaced atoms, other splits, all defects at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectpool.reporting.style import (
    STYLES,
    accuracy_bars,
    accuracy_limits,
    color_bar,
    dotted,
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
    share_map,
)
from defectpool.supercell_labels import cells

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


def heat_maps(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy by the supercell trained on (down) and tested on (across).

    One map for each defect (columns) and pooling (rows), framed where both are the same.

    Parameters
    ----------
    accuracies
        Rows of `results/generalization.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    defects, names = ordered(accuracies["defect"]), names_of(accuracies)
    trained = sorted(ordered(accuracies["trained"]), key=cells)
    tested = sorted(ordered(accuracies["tested"]), key=cells)
    with house_style():
        plt.rcParams["axes.grid"] = False
        width = 1.8 + max(1.7, 0.42 * len(tested)) * len(defects)
        height = 0.9 + (0.55 + 0.42 * len(trained)) * len(names)
        figure, grid = panels(len(names), len(defects), width, height, sharex=True)
        for row, (pooling, convolution, _) in enumerate(names):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                part = rows_of(accuracies, defect=defect, pooling=pooling, convolution=convolution)
                values = 100 * part.pivot(
                    index="trained", columns="tested", values="accuracy"
                ).reindex(index=trained, columns=tested).to_numpy(float)
                image = share_map(axes, values, trained, tested, 50, {"rotation": 90})
                for i, j in product(range(len(trained)), range(len(tested))):
                    if trained[i] == tested[j] and not np.isnan(values[i, j]):
                        axes.add_patch(
                            plt.Rectangle(
                                (j - 0.5, i - 0.5), 1, 1, fill=False, linewidth=1.6,
                                edgecolor="black", clip_on=False,
                            )
                        )  # fmt: skip
        label_panels(grid, [label for *_, label in names], defects, "tested on", "trained on")
        color_bar(figure, image, grid, 0.02, "accuracy on unseen\nformulas (%)")
        save(figure, paths)


def accuracy_by_concentration(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against the concentration of defects, one line for each pooling and training.

    Parameters
    ----------
    accuracies
        Rows of `results/generalization.csv`.
    paths
        Files to write.
    """
    labels = sorted(ordered(accuracies["tested"]), key=cells)
    table = accuracies.assign(x=[1 / cells(label) for label in accuracies["tested"]])
    areas = {cells(label): label for label in labels}
    _lines(
        table,
        "defects per unit cell",
        paths,
        ticks=[(1 / area, f"1/{area}" if area > 1 else "1") for area in areas],
        log=True,
    )


def accuracy_by_rattle(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against the displacement of atoms, one line for each pooling and training.

    Parameters
    ----------
    accuracies
        Rows of `results/rattle.csv`.
    paths
        Files to write.
    """
    table = accuracies.assign(x=accuracies["rattle"].astype(float))
    values = sorted(table["x"].unique())
    _lines(table, "displacement (Å)", paths, ticks=[(x, f"{x:g}") for x in values])


def accuracy_by_split(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy by split: a panel a defect, a marker a pooling.

    Parameters
    ----------
    accuracies
        Rows of `results/splits.csv`.
    paths
        Files to write.
    """
    from matplotlib.lines import Line2D

    defects, names = ordered(accuracies["defect"]), names_of(accuracies)
    supercells = sorted(ordered(accuracies["supercell"]), key=cells)
    splits = ordered(accuracies["split"])
    lines = [(name, cell) for cell in supercells for name in names]
    shift = (np.arange(len(lines)) - (len(lines) - 1) / 2) * (0.7 / len(lines))
    with house_style():
        width = 1.1 + max(2.2, 0.8 * len(splits)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.5)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for ((pooling, convolution, _), cell), offset in zip(lines, shift, strict=True):
                rows = rows_of(
                    accuracies,
                    defect=defect,
                    pooling=pooling,
                    convolution=convolution,
                    supercell=cell,
                )
                y, bars = accuracy_bars(rows)
                style = STYLES[pooling]
                axes.errorbar(
                    [splits.index(split) + offset for split in rows["split"]], y,
                    yerr=bars, linestyle="none", elinewidth=1.4,
                    capsize=2.5, markersize=5.5, **style,
                    markerfacecolor=style["color"] if cell == supercells[-1] else "white",
                )  # fmt: skip
            axes.set_title(str(defect))
            axes.set_xticks(range(len(splits)), splits, rotation=30, ha="right")
            axes.set_xlim(-0.6, len(splits) - 0.4)
            axes.set_xlabel("split")
            axes.grid(axis="x", visible=False)
        grid[0][0].set_ylabel("accuracy (%)")
        grid[0][0].set_ylim(accuracy_limits(accuracies))
        handles = [
            Line2D(
                [], [], linestyle="none", label=f"{label}, {cell}", **STYLES[p],
                markerfacecolor=STYLES[p]["color"] if cell == supercells[-1] else "white",
            )
            for (p, _, label), cell in lines
        ]  # fmt: skip
        legend_below(figure, [*handles, dotted("guessing")], most=7)
        save(figure, paths)


def confusion_matrices(confusion: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Share of each kind that is taken for each: a map for each supercell and pooling.

    Parameters
    ----------
    confusion
        Rows of `results/confusion.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    kinds, names = ordered(confusion["defect_type"]), names_of(confusion)
    supercells = sorted(ordered(confusion["supercell"]), key=cells)
    with house_style():
        plt.rcParams["axes.grid"] = False
        width, height = 1.9 + 2.3 * len(names), 1.4 + 2.2 * len(supercells)
        figure, grid = panels(len(supercells), len(names), width, height, sharex=True)
        for row, cell in enumerate(supercells):
            for column, (pooling, convolution, _) in enumerate(names):
                axes = grid[row][column]
                part = rows_of(confusion, supercell=cell, pooling=pooling, convolution=convolution)
                values = 100 * part.pivot(
                    index="defect_type", columns="predicted", values="share"
                ).reindex(index=kinds, columns=kinds).to_numpy(float)
                image = share_map(axes, values, kinds, kinds, 0, {"rotation": 45, "ha": "right"})
        label_panels(grid, supercells, [label for *_, label in names], "taken for", "true kind")
        color_bar(figure, image, grid, 0.04, "share of the true kind (%)")
        save(figure, paths)


def _lines(
    table: pd.DataFrame,
    quantity: str,
    paths: Sequence[Path],
    ticks: Sequence[tuple[float, str]],
    log: bool = False,
) -> None:
    """Accuracy against column `x`: a panel a defect, color by pooling, dashes by training."""
    from matplotlib.lines import Line2D

    defects, names = ordered(table["defect"]), names_of(table)
    trained = sorted(ordered(table["trained"]), key=cells)
    dashes = {cell: DASHES[i % len(DASHES)] for i, cell in enumerate(trained)}
    with house_style():
        width = 1.1 + max(2.4, 0.36 * len(ticks)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.5)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for pooling, convolution, _ in names:
                for cell in trained:
                    rows = rows_of(
                        table,
                        defect=defect,
                        pooling=pooling,
                        convolution=convolution,
                        trained=cell,
                    ).sort_values("x")
                    style = STYLES[pooling]
                    axes.fill_between(
                        rows["x"], 100 * rows["accuracy_low"], 100 * rows["accuracy_high"],
                        color=style["color"], alpha=0.15, linewidth=0,
                    )  # fmt: skip
                    axes.plot(
                        rows["x"], 100 * rows["accuracy"], linestyle=dashes[cell], linewidth=1.3,
                        markersize=5, **style,
                        markerfacecolor=style["color"] if line_of(convolution) == "-" else "white",
                    )  # fmt: skip
            if log:
                axes.set_xscale("log")
                axes.invert_xaxis()
            axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks], rotation=90)
            axes.minorticks_off()
            axes.set_title(str(defect))
            axes.set_xlabel(quantity)
        grid[0][0].set_ylabel("accuracy on unseen formulas (%)")
        grid[0][0].set_ylim(accuracy_limits(table))
        handles = [Line2D([], [], linestyle="none", label=label, **STYLES[p])
                   for p, _, label in names]  # fmt: skip
        handles += [
            Line2D([], [], color="0.3", linestyle=dashes[cell], label=f"trained on {cell}")
            for cell in trained
        ]
        legend_below(figure, [*handles, dotted("guessing")])
        save(figure, paths)
