"""Plot of how far atoms moved: histograms by displacement model, near defects and far from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from defectpool.reporting.style import label_panels, legend_below, panels, plot_style, save
from defectpool.structures.structure_files import DefectStructure

NEAR, FAR = "near_displacement", "far_displacement"
TITLES = {NEAR: "atoms nearest to a defect", FAR: "more than 5 Å from all defects"}

# Mean displacements in Å that were measured: around vacancies in boron nitride relaxed by density
# functional theory (QCS-Theory/hBN-database), and in ab initio molecular dynamics of MoSe2 at 300 K
# (0.07 to 0.10 Å along each axis; hdespinosa/Traning-Data-for-ML-Potentials).
MEASURED = {
    NEAR: {"measured: BN, relaxed": (0.04, 0.25), "measured: MoSe2, 300 K": (0.11, 0.16)},
    FAR: {"measured: BN, relaxed": (0.005, 0.03), "measured: MoSe2, 300 K": (0.11, 0.16)},
}
COLORS = {"measured: BN, relaxed": "#56B4E9", "measured: MoSe2, 300 K": "#E69F00"}
BINS = np.geomspace(1e-3, 2, 45)


def displacement_table(structures: Iterable[DefectStructure]) -> pd.DataFrame:
    """Displacement model and mean distances moved in Å of each structure whose atoms moved."""
    rows = [
        {"model": one.displacements, NEAR: float(one.notes[NEAR]), FAR: float(one.notes[FAR])}
        for one in structures
        if NEAR in one.notes
    ]
    return pd.DataFrame(rows, columns=["model", NEAR, FAR])


def displacements(table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Histograms of the distances that atoms moved: a row for each model.

    Parameters
    ----------
    table
        As `displacement_table` gives it.
    paths
        Files to write.
    """
    models = sorted(table["model"].unique(), key=lambda name: _of(table, name)[FAR].mean())
    models = models or ["none"]
    with plot_style():
        figure, grid = panels(len(models), 2, 7, 0.8 + 1.35 * len(models), sharex=True)
        for axes_of_model, model in zip(grid, models, strict=True):
            for axes, key in zip(axes_of_model, TITLES, strict=True):
                for name, (low, high) in MEASURED[key].items():
                    axes.axvspan(low, high, color=COLORS[name], alpha=0.35, linewidth=0, label=name)
                values = _of(table, model)[key].dropna().clip(BINS[0], BINS[-1])
                weights = np.full(len(values), 1 / max(len(values), 1))
                axes.hist(values, BINS, weights=weights, color="0.25")
                axes.set(xscale="log", xlim=(BINS[0], BINS[-1]), yticks=[])
        label_panels(grid, models, list(TITLES.values()), "mean displacement in Å", "share")
        legend_below(figure, grid[0][0].get_legend_handles_labels()[0])
        save(figure, paths)


def _of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model]
