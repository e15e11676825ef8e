"""Accuracy with other splits than the one of the table."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import statistics
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import run_key, write_csv
from defectpool.reporting import plots_generalization
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    rows = []
    for run in snakemake.params.runs:
        predictions = read_predictions(Path(run["predictions"]))
        metrics = statistics.run_metrics(predictions, snakemake.params.bootstrap)
        rows.append({"split": run["split"]} | run_key(run) | metrics)
    frame = pd.DataFrame(rows)
    write_csv(frame, Path(snakemake.output.csv))
    plots_generalization.accuracy_by_split(frame, [Path(path) for path in snakemake.output.plot])
    print(frame.to_string())
