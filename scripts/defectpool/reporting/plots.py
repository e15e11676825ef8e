"""Plots of the campaign: accuracy, learning curves, calibration, localization, cost, single runs.

Each function takes a tidy table and the files to write; the suffix (.svg, .png) decides the format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.evaluation.calibration import calibration_curve
from defectpool.evaluation.tables import RUN_KEY
from defectpool.reporting import published
from defectpool.reporting.style import (
    HATCHES,
    accuracy_bars,
    accuracy_limits,
    dotted,
    handles_of,
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
    style_of,
    tooltip_id,
    tooltips,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Network = tuple[str, str, str]


def accuracy_by_supercell(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against supercell for each defect and network, with the published values.

    Parameters
    ----------
    table
        Rows of `results/table.csv`.
    paths
        Files to write.
    """
    from matplotlib.lines import Line2D

    defects, supercells = ordered(table["defect"]), ordered(table["supercell"])
    networks = networks_of(table)
    step = min(0.3, 0.7 / len(networks))
    shift = (np.arange(len(networks)) - (len(networks) - 1) / 2) * step
    with plot_style():
        width = 1.1 + max(1.9, 0.9 * len(supercells)) * len(defects)
        figure, grid = panels(1, len(defects), width, 3.4)
        for axes, defect in zip(grid[0], defects, strict=True):
            mark_guessing(axes)
            for network, offset in zip(networks, shift, strict=True):
                pooling, convolution, _ = network
                rows = rows_of(table, defect=defect, pooling=pooling, convolution=convolution)
                x = np.array([supercells.index(cell) for cell in rows["supercell"]]) + offset
                _accuracy_line(axes, rows, x, 0.4 * step, network)
            axes.set_title(str(defect))
            axes.set_xticks(range(len(supercells)), supercells)
            axes.set_xlim(-0.6, len(supercells) - 0.4)
            axes.set_xlabel("supercell")
            axes.grid(axis="x", visible=False)
        grid[0][0].set_ylabel("accuracy on unseen formulas (%)")
        grid[0][0].set_ylim(accuracy_limits(table))
        name = published.label(str(table["published_differences"].iloc[0]))
        reference = Line2D(
            [], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none",
            markeredgecolor="0.3", label=f"{name}, open markers",
        )  # fmt: skip
        shown = [reference] if table["published"].notna().any() else []
        legend_below(figure, [*handles_of(networks, 1), *shown, dotted("guessing")])
        save(figure, paths)


def _accuracy_line(
    axes: Axes, rows: pd.DataFrame, x: np.ndarray, shift: float, network: Network
) -> None:
    pooling, convolution, label = network
    style = style_of(pooling)
    y, bars = accuracy_bars(rows)
    reference = 100 * rows["published"].to_numpy(float)
    axes.errorbar(
        x, y, yerr=bars, linestyle=line_of(convolution), linewidth=1, elinewidth=1.6, capsize=3,
        markersize=6, zorder=3, **style,
    )  # fmt: skip
    axes.plot(
        x + shift, reference, linestyle="none", marker=style["marker"], markersize=9,
        markerfacecolor="none", markeredgecolor=style["color"], markeredgewidth=1.1, zorder=2,
    )  # fmt: skip
    place = [f"{row.defect} {row.supercell}, {label}" for row in rows.itertuples()]
    values = [f"published {value:.1f} %" for value in reference]
    tooltips(axes, x + shift, reference, list(map(": ".join, zip(place, values, strict=True))))
    values = [interval_text(row) for row in rows.itertuples()]
    tooltips(axes, x, y, list(map(": ".join, zip(place, values, strict=True))))


def learning_curves(histories: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against epoch on training and test structures, for each defect and supercell.

    Lines are means over folds and repeats; bands are plus and minus one standard deviation.

    Parameters
    ----------
    histories
        Rows of all `history.csv` with columns defect, supercell, pooling and convolution added.
    paths
        Files to write.
    """
    from matplotlib.lines import Line2D

    defects, supercells = ordered(histories["defect"]), ordered(histories["supercell"])
    networks = networks_of(histories)
    curves = {
        run: rows.groupby("epoch")[["train_accuracy", "test_accuracy"]]
        for run, rows in histories.groupby(RUN_KEY, sort=False)
    }
    low = min(float((c.mean() - c.std(ddof=0)).to_numpy().min()) for c in curves.values())
    with plot_style():
        width, height = 1 + 2.3 * len(defects), 0.8 + 1.9 * len(supercells)
        figure, grid = panels(len(supercells), len(defects), width, height, sharex=True)
        for row, supercell in enumerate(supercells):
            for column, defect in enumerate(defects):
                axes = grid[row][column]
                mark_guessing(axes)
                for pooling, convolution, _ in networks:
                    curve = curves.get((defect, supercell, pooling, convolution))
                    if curve is not None:
                        _learning_curve(axes, curve, pooling, convolution)
        label_panels(grid, supercells, defects, "epoch", "accuracy (%)")
        grid[0][0].set_ylim(max(0, min(45, 100 * low - 2)), 102)
        handles = [
            Line2D([], [], linewidth=1.5, label=label, **_filled(p, c)) for p, c, label in networks
        ]
        handles += [
            Line2D([], [], color="0.3", linewidth=1.5, label="test folds"),
            Line2D([], [], color="0.3", linewidth=1, linestyle="--", label="training"),
        ]
        legend_below(figure, handles)
        save(figure, paths)


def _filled(pooling: str, convolution: str) -> dict[str, Any]:
    """Style of a network with solid lines: the marker is filled for the gated convolution."""
    style = style_of(pooling)
    return {**style, "markerfacecolor": style["color"] if convolution == "gated" else "white"}


def _learning_curve(axes: Axes, curve: Any, pooling: str, convolution: str) -> None:
    y, deviation = 100 * curve.mean(), 100 * curve.std(ddof=0)["test_accuracy"]
    epochs = y.index.to_numpy()
    color = style_of(pooling)["color"]
    every = max(1, len(epochs) // 6)
    axes.plot(epochs, y["train_accuracy"], color=color, linestyle="--", linewidth=1)
    axes.plot(
        epochs, y["test_accuracy"], markevery=(every - 1, every), markersize=4.5, linewidth=1.5,
        linestyle="-", **_filled(pooling, convolution),
    )  # fmt: skip
    axes.fill_between(
        epochs, y["test_accuracy"] - deviation, y["test_accuracy"] + deviation,
        color=color, alpha=0.18, linewidth=0,
    )  # fmt: skip


def _panel_per_defect_and_supercell(
    frame: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame, Network], None],
    size: tuple[float, float],
    x: str,
    y: str,
) -> tuple[Any, Any]:
    """Grid of panels, supercells down and defects across; `draw` adds one network to a panel."""
    defects, supercells = ordered(frame["defect"]), ordered(frame["supercell"])
    width, height = 1 + size[0] * len(defects), 0.8 + size[1] * len(supercells)
    figure, grid = panels(len(supercells), len(defects), width, height, sharex=True)
    for row, supercell in enumerate(supercells):
        for column, defect in enumerate(defects):
            here = rows_of(frame, defect=defect, supercell=supercell)
            for network in networks_of(frame):
                part = rows_of(here, pooling=network[0], convolution=network[1])
                if len(part):
                    draw(grid[row][column], part, network)
    label_panels(grid, supercells, defects, x, y)
    return figure, grid


def calibration(predictions: pd.DataFrame, paths: Sequence[Path], bins: int = 5) -> None:
    """Share of defective structures against predicted probability, for each defect and supercell.

    Each line connects bins of equally many predictions; bars are 95 % Wilson intervals.

    Parameters
    ----------
    predictions
        Predictions of all runs with columns defect, supercell, pooling and convolution added.
    paths
        Files to write.
    bins
        Number of bins per run.
    """

    def draw(axes: Axes, part: pd.DataFrame, network: Network) -> None:
        pooling, convolution, label = network
        curve = calibration_curve(part, bins)
        x, y = curve["probability"].to_numpy(), curve["share"].to_numpy()
        bars = np.clip([y - curve["low"], curve["high"] - y], 0, None)
        axes.errorbar(
            x, y, yerr=bars, markersize=4.5, linewidth=1, elinewidth=1, capsize=2,
            linestyle=line_of(convolution), **style_of(pooling),
        )  # fmt: skip
        texts = [
            f"{label}: predicted {a:.2f}, defective {b:.2f}" for a, b in zip(x, y, strict=True)
        ]
        tooltips(axes, x, y, texts)

    with plot_style():
        figure, grid = _panel_per_defect_and_supercell(
            predictions, draw, (2.1, 2.0), "predicted probability", "share defective"
        )
        for axes in grid.flat:
            axes.plot([0, 1], [0, 1], color="0.45", linestyle=":", linewidth=1, zorder=1)
        grid[0][0].set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        legend_below(figure, [*handles_of(networks_of(predictions), 1), dotted("calibrated")])
        save(figure, paths)


def distances_to_defect(located: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Distribution of the distance from the picked site to the defect, and the random mean.

    Parameters
    ----------
    located
        Rows of `localization.locate` of all runs, with columns defect, supercell, pooling and
        convolution. Each pooling is shown with its own method to pick a site.
    paths
        Files to write.
    """
    edges = np.arange(0, float(np.ceil(located["distance"].max())) + 1.5)  # 1 Å wide
    centers = (edges[1:] + edges[:-1]) / 2

    def draw(axes: Axes, part: pd.DataFrame, network: Network) -> None:
        pooling, convolution, label = network
        own = part[part["method"] == part["method"].iloc[0]]
        share = 100 * np.histogram(own["distance"], edges)[0] / len(own)
        style = style_of(pooling)
        axes.stairs(
            share, edges, color=style["color"], linestyle=line_of(convolution), linewidth=1.5
        )
        axes.plot(centers, share, linestyle="none", markersize=4.5, **style)
        texts = [f"{label}, {x - 0.5:.0f} to {x + 0.5:.0f} Å: {y:.1f} %"
                 for x, y in zip(centers, share, strict=True)]  # fmt: skip
        tooltips(axes, centers, share, texts)

    with plot_style():
        figure, grid = _panel_per_defect_and_supercell(
            located, draw, (2.3, 1.9), "distance to defect (Å)", "structures (%)"
        )
        for row, supercell in enumerate(ordered(located["supercell"])):
            for column, defect in enumerate(ordered(located["defect"])):
                here = rows_of(located, defect=defect, supercell=supercell)
                if len(here):
                    grid[row][column].axvline(
                        here["chance_distance"].mean(), color="0.45", linestyle=":", linewidth=1
                    )
        grid[0][0].set_xlim(0, edges[-1])
        grid[0][0].set_ylim(bottom=0)
        random = dotted("mean distance of a random site")
        legend_below(figure, [*handles_of(networks_of(located), 1.5), random])
        save(figure, paths)


def cost(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Training and test time of each run in seconds.

    Parameters
    ----------
    table
        Rows of `results/table.csv`.
    paths
        Files to write.
    """
    import matplotlib.pyplot as plt

    networks = networks_of(table)
    places = list(dict.fromkeys(zip(table["defect"], table["supercell"], strict=True)))
    with plot_style():
        rows_height = (0.16 + 0.14 * len(networks)) * len(places)
        figure, axes = plt.subplots(figsize=(6, 0.8 + rows_height))
        height = 0.8 / len(networks)
        for i, (pooling, convolution, label) in enumerate(networks):
            rows = rows_of(table, pooling=pooling, convolution=convolution)
            where = list(zip(rows["defect"], rows["supercell"], strict=True))
            y = [places.index(place) + (i - (len(networks) - 1) / 2) * height for place in where]
            bars = axes.barh(
                y, rows["seconds"], height=0.92 * height, color=style_of(pooling)["color"],
                hatch=HATCHES[i % len(HATCHES)], edgecolor="white", linewidth=0.5, label=label,
            )  # fmt: skip
            for bar, (defect, cell), seconds in zip(bars, where, rows["seconds"], strict=True):
                bar.set_gid(tooltip_id(f"{defect} {cell}, {label}: {seconds:.1f} s"))
        axes.set_yticks(range(len(places)), [f"{defect} {cell}" for defect, cell in places])
        axes.invert_yaxis()
        axes.set_xlabel(f"training and test time (s) on {', '.join(ordered(table['device']))}")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, paths)


def run(history: pd.DataFrame, predictions: pd.DataFrame, title: str, path: Path) -> None:
    """Learning curves of the folds of one run, and histogram of its predicted probabilities.

    Parameters
    ----------
    history, predictions
        History and predictions of the run.
    title
        Title of the figure.
    path
        File to write.
    """
    import matplotlib.pyplot as plt

    with plot_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.1))
        _fold_curves(left, history)
        _probability_histogram(right, predictions)
        for axes in (left, right):
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        figure.suptitle(title)
        figure.tight_layout()
        save(figure, [path])


def _fold_curves(axes: Axes, history: pd.DataFrame) -> None:
    mark_guessing(axes)
    for part, color, line in (("train", "0.55", "--"), ("test", "#0072B2", "-")):
        column = f"{part}_accuracy"
        for _, fold in history.groupby(["repeat", "fold"]):
            axes.plot(
                fold["epoch"], 100 * fold[column], color=color, linestyle=line, linewidth=0.6,
                alpha=0.6,
            )  # fmt: skip
        mean = 100 * history.groupby("epoch")[column].mean()
        axes.plot(mean.index, mean, color=color, linestyle=line, linewidth=2, label=part)
    axes.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(35, 102))


def _probability_histogram(axes: Axes, predictions: pd.DataFrame) -> None:
    bins = np.linspace(0, 1, 21).tolist()
    for label, name, color, hatch in (
        (1, "defective", "#D55E00", ""),
        (0, "pristine", "#56B4E9", "///"),
    ):
        values = predictions.loc[predictions["label"] == label, "probability"]
        axes.hist(
            values, bins, label=name, alpha=0.65, edgecolor="0.25", linewidth=0.5, color=color,
            hatch=hatch,
        )  # fmt: skip
    axes.axvline(0.5, color="0.45", linestyle=":", linewidth=1)
    axes.set(xlabel="predicted probability of a defect", ylabel="test structures")
    axes.grid(axis="x", visible=False)
