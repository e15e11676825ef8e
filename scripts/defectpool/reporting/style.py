"""Plot style shared by all figures: colors, markers, panels, legends, tooltips, SVG and PNG files.

An SVG file contains a tooltip for each value (`tooltips`), which a browser shows under the mouse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.hashing import seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colors for the color-blind, of different lightness, each with its own marker.
STYLES: dict[str, dict[str, Any]] = {
    "mean": {"color": "#0072B2", "marker": "o"},
    "max": {"color": "#D55E00", "marker": "^"},
    "contrast": {"color": "#000000", "marker": "D"},
    "outlier": {"color": "#E69F00", "marker": "P"},
    "sum": {"color": "#009E73", "marker": "s"},
    "softmax": {"color": "#CC79A7", "marker": "v"},
    "sites": {"color": "#56B4E9", "marker": "X"},
    # methods that are no networks
    "lattice": {"color": "#333333", "marker": "h"},
    "combined": {"color": "#5E3C99", "marker": "*"},
    "spglib": {"color": "#8C510A", "marker": "<"},
    "matid": {"color": "#7F7F7F", "marker": ">"},
    "soap": {"color": "#999933", "marker": "p"},
}
# For poolings that are not listed; the marker repeats after the last one.
OTHER_COLORS = ("#1B7837", "#C51B7D", "#80CDC1", "#BF812D")
OTHER_MARKERS = ("d", "H", "8")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\")  # of bars
SEQUENTIAL = "cividis"  # of heat maps
DOTS_PER_INCH = 200


def style_of(pooling: str) -> dict[str, Any]:
    """Color and marker of a pooling; the same for a name at any time, listed or not."""
    if pooling in STYLES:
        return STYLES[pooling]
    number = seed("plot style", pooling)
    return {
        "color": OTHER_COLORS[number % len(OTHER_COLORS)],
        "marker": OTHER_MARKERS[number // len(OTHER_COLORS) % len(OTHER_MARKERS)],
    }


@contextmanager
def plot_style() -> Iterator[None]:
    """Plot settings for print, with which equal plots give equal files."""
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


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure and close it; the suffix of each name decides the format."""
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
            if suffix == "svg":
                text = temporary.read_text(encoding="utf-8")
                temporary.write_text(_with_titles(text), encoding="utf-8")
    plt.close(figure)


# Prefix of the SVG ids that become tooltips.
_TOOLTIP = "tooltip: "


def tooltips(axes: Axes, x: Iterable[float], y: Iterable[float], texts: Iterable[str]) -> None:
    """Add a tooltip to each of these points; it shows in SVG files only."""
    for one_x, one_y, text in zip(x, y, texts, strict=True):
        if np.isfinite(one_y):
            axes.scatter([one_x], [one_y], s=90, alpha=0, linewidths=0, gid=_TOOLTIP + text)


def tooltip_id(text: str) -> str:
    """Group id (`gid`) that gives any artist a tooltip."""
    return _TOOLTIP + text


def _with_titles(svg: str) -> str:
    return re.sub(f'<g id="{_TOOLTIP}([^"]*)">', r"<g><title>\1</title>", svg)


def interval_text(row: Any) -> str:
    """Accuracy of a row of a table with its interval, for a tooltip."""
    value, low, high = (100 * getattr(row, f"accuracy{end}") for end in ("", "_low", "_high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def ordered(values: pd.Series) -> list[Any]:
    """Distinct values in order of first appearance."""
    return list(dict.fromkeys(values))


def networks_of(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Pooling, convolution and label of each network, in the table's order."""
    several = frame["convolution"].nunique() > 1
    pairs = dict.fromkeys(zip(frame["pooling"], frame["convolution"], strict=True))
    return [(p, c, f"{p}, {c}" if several else p) for p, c in pairs]


def line_of(convolution: str) -> Literal["-", "--"]:
    """Line style of a convolution."""
    return "-" if convolution == "gated" else "--"


def mark_guessing(axes: Axes) -> None:
    """Draw a line at the accuracy of guessing, in percent."""
    axes.axhline(50, color="0.45", linestyle=":", linewidth=1, zorder=1)


def rows_of(frame: pd.DataFrame, **key: Any) -> pd.DataFrame:
    """Rows of a table in which these columns have these values."""
    chosen = np.ones(len(frame), dtype=bool)
    for name, value in key.items():
        chosen &= (frame[name] == value).to_numpy()
    return frame[chosen]


def accuracy_bars(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies in percent [n] and error bars [2, n], below and above."""
    y = 100 * rows["accuracy"].to_numpy(float)
    below = y - 100 * rows["accuracy_low"].to_numpy(float)
    above = 100 * rows["accuracy_high"].to_numpy(float) - y
    return y, np.clip([below, above], 0, None)


def accuracy_limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Axis limits in percent that include guessing and every interval."""
    return min(45.0, 100 * float(frame["accuracy_low"].min()) - 2), 101.5


def panels(
    rows: int, columns: int, width: float, height: float, sharex: bool = False
) -> tuple[Figure, NDArray[Any]]:
    """Figure of so many inches with a grid of panels [rows, columns] that share the y axis."""
    import matplotlib.pyplot as plt

    return plt.subplots(
        rows, columns, figsize=(width, height), sharex=sharex, sharey=True, squeeze=False
    )


def label_panels(
    grid: NDArray[Any], rows: Sequence[Any], columns: Sequence[Any], x: str, y: str
) -> None:
    """Label the columns at the top, the x axis at the bottom, rows and y axis on the left."""
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(str(name))
    for axes in grid[-1]:
        axes.set_xlabel(x)
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(f"{name}\n{y}")


def handles_of(networks: Sequence[tuple[str, str, str]], linewidth: float) -> list[Line2D]:
    """Legend handles of networks."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle=line_of(c), linewidth=linewidth, label=label, **style_of(p))
        for p, c, label in networks
    ]


def dotted(label: str) -> Line2D:
    """Legend handle of a dotted line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color="0.45", linestyle=":", linewidth=1, label=label)


def legend_below(figure: Figure, handles: Sequence[Any], most: int = 100) -> None:
    """Place the legend of the figure below its panels, with at most so many handles per row."""
    figure.tight_layout()
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=min(most, len(handles)),
    )


def share_map(
    axes: Axes,
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    lowest: float,
    turn: dict[str, Any],
) -> Any:
    """Draw a matrix in percent as a heat map from `lowest` to 100; return the image.

    Numbers below 10 and above 90 have one decimal; NaN is left blank.
    """
    image = axes.imshow(values, vmin=lowest, vmax=100, cmap=SEQUENTIAL, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(columns)), columns, **turn)
    axes.set_yticks(range(len(rows)), rows)
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            digits = 1 if 0 < value < 10 or 90 < value < 100 else 0
            color = "white" if value < (lowest + 100) / 2 else "black"
            axes.text(
                j, i, f"{value:.{digits}f}", ha="center", va="center", fontsize=7.5, color=color
            )
            tooltips(axes, [j], [i], [f"{rows[i]} → {columns[j]}: {value:.2f} %"])
    return image


def color_bar(figure: Figure, image: Any, grid: NDArray[Any], fraction: float, text: str) -> None:
    """Add a labeled color bar beside heat maps."""
    figure.tight_layout()
    bar = figure.colorbar(image, ax=grid, fraction=fraction, pad=0.02)
    bar.set_label(text)
    bar.outline.set_visible(False)
