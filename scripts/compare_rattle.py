"""Accuracy on displaced atoms."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import generalization
from defectpool.evaluation.tables import write_csv
from defectpool.reporting import plots_generalization
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    predictions = pd.concat([generalization.read(Path(path)) for path in snakemake.input])
    accuracies = generalization.accuracies(predictions, "rattle", snakemake.params.bootstrap)
    write_csv(accuracies, Path(snakemake.output.csv))
    plots_generalization.accuracy_by_rattle(accuracies, [Path(p) for p in snakemake.output.plot])
    print(accuracies.to_string())
