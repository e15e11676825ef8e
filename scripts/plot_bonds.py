"""Draw the spread of bonds in trajectories of pristine cells beside that of the harmonic model."""

from pathlib import Path

from defectpool.evaluation.bond_spread import of_trajectories
from defectpool.evaluation.real_cells import read_cells
from defectpool.reporting.plots_bonds import bonds
from defectpool.runtime.job_log import logging_to

TEMPERATURE = 300.0  # K

with logging_to(snakemake.log[0]):
    table = of_trajectories(read_cells(Path(snakemake.params.path)), TEMPERATURE)
    bonds(table, TEMPERATURE, [Path(path) for path in snakemake.output])
    print(table.to_string())
