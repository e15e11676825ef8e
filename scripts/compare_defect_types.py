"""Confusion matrices of the defect types."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_types
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.reporting import plots_generalization
from defectpool.runtime.job_log import logging_to
from defectpool.structures.labels import PRISTINE

with logging_to(snakemake.log[0]):
    names = [PRISTINE, *snakemake.params.defects]
    resamples = snakemake.params.bootstrap
    confusions, metrics = [], []
    for run in snakemake.params.classification:
        key = {name: run[name] for name in RUN_KEY[1:]}
        predictions = defect_types.read(Path(run["predictions"]))
        confusions.append(defect_types.confusion(predictions, names).assign(**key))
        metrics.append(key | defect_types.metrics(predictions, names, resamples))
    confusion = pd.concat(confusions, ignore_index=True).set_index(RUN_KEY[1:]).reset_index()
    write_csv(confusion, Path(snakemake.output.confusion))
    write_csv(pd.DataFrame(metrics), Path(snakemake.output.defect_types))
    plots_generalization.confusion_matrices(confusion, [Path(p) for p in snakemake.output.plot])
    print(pd.DataFrame(metrics).to_string())
