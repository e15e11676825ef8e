"""What all plots share: colors and marks, panels, intervals, legends, and reproducible files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.runtime.atomic_write import replacing

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
}
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\")  # of bars
SEQUENTIAL = "cividis"  # of heat maps
DOTS_PER_INCH = 200


@contextmanager
def house_style() -> Iterator[None]:
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


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure, and be done with it; the suffix of each name decides the format."""
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


def ordered(values: pd.Series) -> list[Any]:
    """Distinct values in the order in which they occur."""
    return list(dict.fromkeys(values))


def names_of(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Pooling, convolution and label of every line, in the table's order."""
    several = frame["convolution"].nunique() > 1
    pairs = dict.fromkeys(zip(frame["pooling"], frame["convolution"], strict=True))
    return [(p, c, f"{p}, {c}" if several else p) for p, c in pairs]


def line_of(convolution: str) -> Literal["-", "--"]:
    """Line style of a convolution."""
    return "-" if convolution == "gated" else "--"


def mark_guessing(axes: Axes) -> None:
    """Draw the accuracy of guessing, in per cent."""
    axes.axhline(50, color="0.45", linestyle=":", linewidth=1, zorder=1)


def rows_of(frame: pd.DataFrame, **key: Any) -> pd.DataFrame:
    """Rows of a table in which these columns have these values."""
    chosen = np.ones(len(frame), dtype=bool)
    for name, value in key.items():
        chosen &= (frame[name] == value).to_numpy()
    return frame[chosen]


def accuracy_bars(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies in per cent [n], and the lengths [2, n] of their intervals below and above."""
    y = 100 * rows["accuracy"].to_numpy(float)
    below = y - 100 * rows["accuracy_low"].to_numpy(float)
    above = 100 * rows["accuracy_high"].to_numpy(float) - y
    return y, np.clip([below, above], 0, None)


def accuracy_limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis of accuracies in per cent that show guessing and every interval."""
    return min(45.0, 100 * float(frame["accuracy_low"].min()) - 2), 101.5


def panels(
    rows: int, columns: int, width: float, height: float, sharex: bool = False
) -> tuple[Figure, NDArray[Any]]:
    """Make a grid of panels [rows, columns] of one y axis on a page so many inches large."""
    import matplotlib.pyplot as plt

    return plt.subplots(
        rows, columns, figsize=(width, height), sharex=sharex, sharey=True, squeeze=False
    )


def label_panels(
    grid: NDArray[Any], rows: Sequence[Any], columns: Sequence[Any], x: str, y: str
) -> None:
    """Name columns above, the x axis below, and rows with the y axis on the left."""
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(str(name))
    for axes in grid[-1]:
        axes.set_xlabel(x)
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(f"{name}\n{y}")


def handles_of(names: Sequence[tuple[str, str, str]], linewidth: float) -> list[Line2D]:
    """Entries of a legend for poolings and convolutions."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle=line_of(c), linewidth=linewidth, label=label, **STYLES[p])
        for p, c, label in names
    ]


def dotted(label: str) -> Line2D:
    """Entry of a legend for a dotted line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color="0.45", linestyle=":", linewidth=1, label=label)


def legend_below(figure: Figure, handles: Sequence[Any], most: int = 100) -> None:
    """Put the legend of the whole figure below its panels, at most so many entries in a row."""
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
    """Draw a matrix in per cent as a heat map, from `lowest` to 100; return the image.

    Numbers near 0 and 100 have a decimal, since there it matters; one that is not known has none.
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
    return image


def color_bar(figure: Figure, image: Any, grid: NDArray[Any], fraction: float, text: str) -> None:
    """Say beside heat maps what their colors mean."""
    figure.tight_layout()
    bar = figure.colorbar(image, ax=grid, fraction=fraction, pad=0.02)
    bar.set_label(text)
    bar.outline.set_visible(False)
