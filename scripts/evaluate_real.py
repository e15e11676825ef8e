"""Evaluate the lattice and the trained networks on a folder of real cells with labels."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import real_cells
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    labeled = real_cells.read_cells(Path(snakemake.params.path))
    cells = real_cells.with_noisy_pristine(labeled)
    resamples = snakemake.params.bootstrap
    lattice = real_cells.table(real_cells.lattice_answers(cells), resamples)
    tables = [lattice.assign(method="lattice")]
    for run in snakemake.params.runs:
        answers = real_cells.network_answers(
            cells, Path(run["model"]), read_predictions(Path(run["predictions"]))
        )
        key = {name: run[name] for name in RUN_KEY[1:]}
        tables.append(real_cells.table(answers, resamples).assign(method="network", **key))
    first = ["method", *RUN_KEY[1:]]
    table = pd.concat(tables, ignore_index=True).set_index(first).reset_index()
    write_csv(table, Path(snakemake.output[0]))
    print(table.to_string())
