"""Plots of the table and of the learning curves."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation.predictions import read_history
from defectpool.evaluation.tables import run_key
from defectpool.reporting import plots, table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    histories = [
        read_history(Path(run["history"])).assign(**run_key(run)) for run in snakemake.params.runs
    ]
    plots.accuracy_by_supercell(
        table.read_csv(Path(snakemake.input.table)), [Path(p) for p in snakemake.output.accuracy]
    )
    plots.learning_curves(pd.concat(histories), [Path(p) for p in snakemake.output.learning])
