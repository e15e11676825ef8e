"""Figure of the map: which method is right where, a column of panels for each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from defectpool.evaluation.map_statistics import COMBINED
from defectpool.reporting.style import (
    STYLES,
    legend_below,
    ordered,
    panels,
    plot_style,
    rows_of,
    save,
    style_of,
    tooltips,
)
from defectpool.supercell_labels import cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Label of each axis; factor to its unit.
AXES = {
    "displacement": ("static displacement (Å)", 1),
    "temperature": ("temperature (K)", 1),
    "relaxation": ("relaxed by", 1),
    "concentration": ("share of defects (%)", 100),
    "supercells": ("supercell", 1),
    "alloy": ("second species (%)", 100),
    "strain": ("strain (%)", 100),
    "train_hosts": ("hosts to train on", 1),
    "split": ("unseen in training", 1),
}
LOGARITHMIC = ("concentration", "supercells", "train_hosts")
# Axes whose values are names, which no line connects.
NAMED = ("relaxation", "split")
ROWS = {
    "found": "found (%)",
    "false_alarms": "false alarms (%)",
    "site_accuracy": "right site (%)",
}
# A thick line each: what needs no training, and what takes the better of both.
PROMINENT = ("lattice", COMBINED)


def draw(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Found, false alarms and right sites of each method along each axis, with 95 % bands.

    Parameters
    ----------
    table
        Rows of `results/map.csv` on all types of defects together.
    paths
        Files to write.
    """
    axes_names, methods = ordered(table["axis"]), ordered(table["method"])
    with plot_style():
        figure, grid = panels(
            len(ROWS), len(axes_names), 1.2 + 2.5 * len(axes_names), 1.2 + 2.1 * len(ROWS)
        )
        for column, name in enumerate(axes_names):
            part = rows_of(table, axis=name)
            for axes, quantity in zip(grid[:, column], ROWS, strict=True):
                values = ordered(part["value"])
                for number, method in enumerate(methods):
                    rows = rows_of(part, method=method)
                    if rows.empty or rows[quantity].isna().all():
                        continue
                    x = positions(name, values)
                    if name in NAMED:  # side by side
                        shift = (number - (len(methods) - 1) / 2) * 0.6 / len(methods)
                        x = {value: place + shift for value, place in x.items()}
                    _line(axes, rows, quantity, x)
                _ticks(axes, positions(name, values), name)
            for axes in grid[:-1, column]:
                axes.tick_params(labelbottom=False)
            grid[-1, column].set_xlabel(AXES[name][0])
        for axes, label in zip(grid[:, 0], ROWS.values(), strict=True):
            axes.set_ylabel(label)
        grid[0, 0].set_ylim(-4, 104)
        figure.align_xlabels(grid[-1])
        legend_below(figure, [handle(method) for method in methods], most=8)
        save(figure, paths)


def method_style(method: str) -> dict[str, Any]:
    """Color and marker of a method; a network has those of its pooling."""
    pooling = next((name for name in STYLES if method.startswith(f"{name}_")), method)
    return style_of(pooling)


def positions(axis: str, values: Sequence[str]) -> dict[str, float]:
    """Place of each value on the x axis."""
    if axis in NAMED:
        return {value: float(place) for place, value in enumerate(values)}
    if axis == "supercells":
        return {value: float(np.sqrt(cells(value))) for value in values}
    return {value: AXES[axis][1] * float(value) for value in values}


def handle(method: str) -> Line2D:
    """Legend handle of a method."""
    from matplotlib.lines import Line2D

    style = method_style(method)
    return Line2D([], [], label=method, linewidth=width(method), linestyle=dashes(method), **style)


def width(method: str) -> float:
    """Line width of a method."""
    return 2.4 if method in PROMINENT else 1.2


def dashes(method: str) -> Literal["-", "--"]:
    """Line style: dashes for the combined method, which hides the lattice otherwise."""
    return "--" if method == COMBINED else "-"


def _line(axes: Axes, rows: pd.DataFrame, quantity: str, places: Mapping[str, float]) -> None:
    """One method along an axis: a line with a band, or points with bars where values are names."""
    method, axis = rows["method"].iloc[0], rows["axis"].iloc[0]
    x = np.array([places[value] for value in rows["value"]])
    order = np.argsort(x)
    x, rows = x[order], rows.iloc[order]
    y, low, high = (100 * rows[f"{quantity}{end}"].to_numpy() for end in ("", "_low", "_high"))
    style = method_style(method)
    if axis in NAMED:
        axes.vlines(x, low, high, color=style["color"], linewidth=1.2)
        axes.plot(x, y, linestyle="", markersize=5, **style)
    else:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(x, y, linewidth=width(method), linestyle=dashes(method), markersize=5, **style)
    texts = [
        f"{method}, {value}: {one:.1f} % ({a:.1f} to {b:.1f})"
        for value, one, a, b in zip(rows["value"], y, low, high, strict=True)
    ]
    tooltips(axes, x, y, texts)


def _ticks(axes: Axes, places: Mapping[str, float], name: str) -> None:
    """Ticks at the values of an axis."""
    if name in LOGARITHMIC:
        axes.set_xscale("log")
    texts = [value_text(name, value) for value in places]
    axes.set_xticks(list(places.values()), texts, rotation=90, fontsize=8)
    axes.minorticks_off()
    if name in NAMED:
        axes.set_xlim(-0.5, len(places) - 0.5)


def value_text(axis: str, value: str) -> str:
    """Value of an axis in its unit."""
    factor = AXES[axis][1]
    # a calculator of the user's by its class
    return value.rpartition(":")[2] if factor == 1 else f"{factor * float(value):g}"
