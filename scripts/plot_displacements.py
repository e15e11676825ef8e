"""Draw how far atoms moved by each displacement model."""

from pathlib import Path

from defectpool.reporting.plots_displacements import displacement_table, displacements
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    table = displacement_table(
        one for path in snakemake.input for one in read_structures(Path(path))
    )
    displacements(table, [Path(path) for path in snakemake.output])
    print(table.groupby("model").describe().to_string())
