"""Plot of the spread of bonds: trajectories beside the harmonic model of thermal displacements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from defectpool.reporting.style import legend_below, panels, plot_style, rows_of, save

COLORS = {"measured": "#D55E00", "model": "#0072B2"}
MARKERS = {"measured": "o", "model": "x"}


def bonds(table: pd.DataFrame, temperature: float, paths: Sequence[Path]) -> None:
    """Spread of each shell of neighbors against its distance: a panel for each pair of species.

    Parameters
    ----------
    table
        As `evaluation.bond_spread.of_trajectories` gives it.
    temperature
        Temperature of the model in K.
    paths
        Files to write.
    """
    keys = list(dict.fromkeys(zip(table["set"], table["bond"], strict=True)))
    with plot_style():
        figure, grid = panels(1, len(keys), 1.2 + 2.6 * len(keys), 3.2)
        for axes, (name, bond) in zip(grid[0], keys, strict=True):
            for source, color in COLORS.items():
                rows = rows_of(table, set=name, bond=bond, source=source)
                label = (
                    "trajectory" if source == "measured" else f"harmonic model, {temperature:g} K"
                )
                axes.plot(
                    rows["distance"], rows["spread"], linestyle="", color=color, label=label,
                    marker=MARKERS[source], markersize=6, markeredgewidth=1.5,
                    markerfacecolor="none",
                )  # fmt: skip
            axes.set(title=f"{rows_of(table, set=name)['host'].iloc[0]}, {bond}")
            axes.set_xlabel("distance of the sites (Å)")
        grid[0, 0].set_ylabel("spread (Å)")
        grid[0, 0].set_ylim(bottom=0)
        legend_below(figure, grid[0][0].get_legend_handles_labels()[0])
        save(figure, paths)
