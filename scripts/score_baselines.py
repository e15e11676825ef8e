"""Baselines that see only composition and number of atoms, on the folds of the networks."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import baselines
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    rows = baselines.every_row(
        read_shards([Path(path) for path in snakemake.input.graphs]),
        read_predictions(Path(snakemake.input.predictions)),
        snakemake.wildcards.defect,
        snakemake.wildcards.supercell,
        snakemake.params.bootstrap,
    )
    frame = pd.DataFrame(rows)
    write_csv(frame, Path(snakemake.output[0]))
    print(frame.to_string(index=False))
