"""Plots of generalization: other supercells, displaced atoms, other splits, defect types."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.reporting.style import (
    accuracy_bars,
    accuracy_limits,
    color_bar,
    dotted,
    interval_text,
    label_panels,
    legend_below,
    line_of,
    mark_guessing,
    networks_of,
    ordered,
    panels,
    plot_style,
    rows_of,
    save,
    share_map,
    style_of,
    tooltips,
)
from defectpool.supercell_labels import cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


def heat_maps(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy by training supercell (down) and test supercell (across).

    One map for each defect (columns) and network (rows); a frame marks equal supercells.

    Parameters
    ----------
    accuracies
        Rows of `results/generalization.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    defects, networks = ordered(accuracies["defect"]), networks_of(accuracies)
    trained = sorted(ordered(accuracies["trained"]), key=cells)
    tested = sorted(ordered(accuracies["tested"]), key=cells)
    with plot_style():
        plt.rcParams["axes.grid"] = False
        width = 1.8 + max(1.7, 0.42 * len(tested)) * len(defects)
        height = 0.9 + (0.55 + 0.42 * len(trained)) * len(networks)
        figure, grid = panels(len(networks), len(defects), width, height, sharex=True)
        for row, (pooling, convolution, _) in enumerate(networks):
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
        label_panels(grid, [label for *_, label in networks], defects, "tested on", "trained on")
        color_bar(figure, image, grid, 0.02, "accuracy on unseen\nformulas (%)")
        save(figure, paths)


def accuracy_by_concentration(accuracies: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against defect concentration, one line for each network and training supercell.

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
    """Accuracy against atomic displacement, one line for each network and training supercell.

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
    """Accuracy for each split: one panel per defect, one marker per network and supercell.

    Parameters
    ----------
    accuracies
        Rows of `results/splits.csv`.
    paths
        Files to write.
    """
    from matplotlib.lines import Line2D

    defects, networks = ordered(accuracies["defect"]), networks_of(accuracies)
    supercells = sorted(ordered(accuracies["supercell"]), key=cells)
    splits = ordered(accuracies["split"])
    lines = [(name, cell) for cell in supercells for name in networks]
    shift = (np.arange(len(lines)) - (len(lines) - 1) / 2) * (0.7 / len(lines))
    with plot_style():
        width = 1.1 + max(2.2, 0.8 * len(splits)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.5)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for ((pooling, convolution, label), cell), offset in zip(lines, shift, strict=True):
                rows = rows_of(
                    accuracies, defect=defect, pooling=pooling, convolution=convolution,
                    supercell=cell,
                )  # fmt: skip
                x = [splits.index(split) + offset for split in rows["split"]]
                _split_markers(axes, rows, x, label, cell == supercells[-1])
            axes.set_title(str(defect))
            axes.set_xticks(range(len(splits)), splits, rotation=30, ha="right")
            axes.set_xlim(-0.6, len(splits) - 0.4)
            axes.set_xlabel("split")
            axes.grid(axis="x", visible=False)
        grid[0][0].set_ylabel("accuracy (%)")
        grid[0][0].set_ylim(accuracy_limits(accuracies))
        handles = [
            Line2D(
                [], [], linestyle="none", label=f"{label}, {cell}", **style_of(p),
                markerfacecolor=style_of(p)["color"] if cell == supercells[-1] else "white",
            )
            for (p, _, label), cell in lines
        ]  # fmt: skip
        legend_below(figure, [*handles, dotted("guessing")], most=7)
        save(figure, paths)


def _split_markers(
    axes: Axes, rows: pd.DataFrame, x: Sequence[float], label: str, filled: bool
) -> None:
    if rows.empty:
        return
    style = style_of(str(rows["pooling"].iloc[0]))
    y, bars = accuracy_bars(rows)
    axes.errorbar(
        x, y, yerr=bars, linestyle="none", elinewidth=1.4, capsize=2.5, markersize=5.5, **style,
        markerfacecolor=style["color"] if filled else "white",
    )  # fmt: skip
    texts = [
        f"{row.defect} {row.supercell}, {label}, {row.split}: {interval_text(row)}"
        for row in rows.itertuples()
    ]
    tooltips(axes, x, y, texts)


def confusion_matrices(confusion: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Confusion matrices of the defect types: one for each supercell and network.

    Parameters
    ----------
    confusion
        Rows of `results/confusion.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    types, networks = ordered(confusion["defect_type"]), networks_of(confusion)
    supercells = sorted(ordered(confusion["supercell"]), key=cells)
    with plot_style():
        plt.rcParams["axes.grid"] = False
        width, height = 1.9 + 2.3 * len(networks), 1.4 + 2.2 * len(supercells)
        figure, grid = panels(len(supercells), len(networks), width, height, sharex=True)
        for row, cell in enumerate(supercells):
            for column, (pooling, convolution, _) in enumerate(networks):
                axes = grid[row][column]
                part = rows_of(confusion, supercell=cell, pooling=pooling, convolution=convolution)
                values = 100 * part.pivot(
                    index="defect_type", columns="predicted", values="share"
                ).reindex(index=types, columns=types).to_numpy(float)
                image = share_map(axes, values, types, types, 0, {"rotation": 45, "ha": "right"})
        labels = [label for *_, label in networks]
        label_panels(grid, supercells, labels, "predicted type", "true type")
        color_bar(figure, image, grid, 0.04, "share of the true type (%)")
        save(figure, paths)


def _lines(
    table: pd.DataFrame,
    quantity: str,
    paths: Sequence[Path],
    ticks: Sequence[tuple[float, str]],
    log: bool = False,
) -> None:
    """Accuracy against column `x`: one panel per defect, dashes by training supercell."""
    from matplotlib.lines import Line2D

    defects, networks = ordered(table["defect"]), networks_of(table)
    trained = sorted(ordered(table["trained"]), key=cells)
    dashes = {cell: DASHES[i % len(DASHES)] for i, cell in enumerate(trained)}
    with plot_style():
        width = 1.1 + max(2.4, 0.36 * len(ticks)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.5)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for (pooling, convolution, label), cell in product(networks, trained):
                rows = rows_of(
                    table, defect=defect, pooling=pooling, convolution=convolution, trained=cell
                ).sort_values("x")
                _accuracy_band(axes, rows, pooling, convolution, dashes[cell])
                texts = [
                    f"{label}, trained on {cell}: {interval_text(row)}" for row in rows.itertuples()
                ]
                tooltips(axes, rows["x"], 100 * rows["accuracy"], texts)
            if log:
                axes.set_xscale("log")
                axes.invert_xaxis()
            axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks], rotation=90)
            axes.minorticks_off()
            axes.set_title(str(defect))
            axes.set_xlabel(quantity)
        grid[0][0].set_ylabel("accuracy on unseen formulas (%)")
        grid[0][0].set_ylim(accuracy_limits(table))
        handles = [Line2D([], [], linestyle="none", label=label, **style_of(p))
                   for p, _, label in networks]  # fmt: skip
        handles += [
            Line2D([], [], color="0.3", linestyle=dashes[cell], label=f"trained on {cell}")
            for cell in trained
        ]
        legend_below(figure, [*handles, dotted("guessing")])
        save(figure, paths)


def _accuracy_band(
    axes: Axes, rows: pd.DataFrame, pooling: str, convolution: str, dashes: Any
) -> None:
    style = style_of(pooling)
    axes.fill_between(
        rows["x"], 100 * rows["accuracy_low"], 100 * rows["accuracy_high"],
        color=style["color"], alpha=0.15, linewidth=0,
    )  # fmt: skip
    axes.plot(
        rows["x"], 100 * rows["accuracy"], linestyle=dashes, linewidth=1.3, markersize=5, **style,
        markerfacecolor=style["color"] if line_of(convolution) == "-" else "white",
    )  # fmt: skip
