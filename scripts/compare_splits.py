"""Accuracy with other splits than the one of the table."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import statistics
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.reporting import plots_generalization
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    rows = []
    for key, path in zip(snakemake.params.entries, snakemake.input, strict=True):
        metrics = statistics.run_metrics(read_predictions(Path(path)), snakemake.params.bootstrap)
        rows.append(dict(zip(("split", *RUN_KEY), key, strict=True)) | metrics)
    frame = pd.DataFrame(rows)
    write_csv(frame, Path(snakemake.output.csv))
    plots_generalization.accuracy_by_split(frame, [Path(path) for path in snakemake.output.plot])
    print(frame.to_string())
