"""Figure of coverage curves: accuracy where the least certain answers are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from defectpool.evaluation.map_coverage import WANTED, coverage_curve
from defectpool.reporting.plots_map import AXES, dashes, handle, method_style, width
from defectpool.reporting.style import (
    dotted,
    legend_below,
    ordered,
    panels,
    plot_style,
    rows_of,
    save,
    tooltips,
)

COLUMNS = 3
# Points of a curve that show a tooltip.
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)


def draw(answers: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Accuracy against coverage of each method that tells how sure it is, a panel for each axis.

    A curve ends with a marker where a method has no further answers.

    Parameters
    ----------
    answers
        Rows of `map_statistics.decided`, those of the combined method among them.
    paths
        Files to write.
    """
    names = ordered(answers["axis"])
    methods = ordered(answers.loc[answers["confidence"].notna(), "method"])
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with plot_style():
        figure, grid = panels(rows, columns, 0.8 + 3.4 * columns, 0.6 + 2.7 * rows, sharex=True)
        lowest = 1.0
        for axes, name in zip(grid.flat, names, strict=False):
            for method in methods:
                curve = coverage_curve(rows_of(answers, axis=name, method=method))
                if curve.empty:
                    continue
                x, y = 100 * curve["coverage"].to_numpy(), 100 * curve["accuracy"].to_numpy()
                style = method_style(method)
                axes.plot(
                    x, y, linewidth=width(method), linestyle=dashes(method), color=style["color"]
                )
                axes.plot(x[-1:], y[-1:], linestyle="", markersize=7, **style)
                some = sorted({int((x <= 100 * share).sum()) for share in SHARES} - {0})
                texts = [
                    f"{method}: {x[i - 1]:.0f} % answered, {y[i - 1]:.1f} % right" for i in some
                ]
                tooltips(axes, [x[i - 1] for i in some], [y[i - 1] for i in some], texts)
                lowest = min(lowest, float(curve.loc[curve["coverage"] >= 0.1, "accuracy"].min()))
            axes.set_title(AXES[name][0], fontsize=10)
        for number, axes in enumerate(grid.flat):
            axes.set_visible(number < len(names))
            axes.axhline(100 * WANTED, color="0.45", linestyle=":", linewidth=1, zorder=1)
            if number + columns >= len(names):  # no panel is below this one
                axes.set_xlabel("cells answered (%)")
                axes.tick_params(labelbottom=True)
        grid[0, 0].set(xlim=(-2, 102), ylim=(max(0.0, 100 * lowest - 3), 101.5))
        for axes in grid[:, 0]:
            axes.set_ylabel("right (%)")
        legend_below(figure, [*map(handle, methods), dotted(f"{100 * WANTED:g} %")], most=8)
        save(figure, paths)
