"""Confusion matrices of the defect types, and detection accuracy for each defect type."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_types
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.reporting import plots_generalization
from defectpool.runtime.job_log import logging_to
from defectpool.structures.labels import PRISTINE, defect_type_of

with logging_to(snakemake.log[0]):
    names = [PRISTINE, *snakemake.params.defects]
    resamples = snakemake.params.bootstrap
    confusions, metrics, detections = [], [], []
    for run in snakemake.params.classification:
        key = {name: run[name] for name in RUN_KEY[1:]}
        predictions = defect_types.read(Path(run["predictions"]))
        confusions.append(defect_types.confusion(predictions, names).assign(**key))
        metrics.append(key | defect_types.metrics(predictions, names, resamples))
    for run in snakemake.params.detection:
        key = {name: run[name] for name in RUN_KEY[1:]}
        binary = read_predictions(Path(run["predictions"]))
        binary["defect_type"] = [
            defect_type_of(name, formula, 1)
            for name, formula in zip(binary["name"], binary["formula"], strict=True)
        ]
        detections.append(defect_types.detection_by_defect_type(binary, resamples).assign(**key))
    confusion, detection = (
        pd.concat(each, ignore_index=True).set_index(RUN_KEY[1:]).reset_index()
        for each in (confusions, detections)
    )
    write_csv(confusion, Path(snakemake.output.confusion))
    write_csv(pd.DataFrame(metrics), Path(snakemake.output.defect_types))
    write_csv(detection, Path(snakemake.output.any_defect))
    plots_generalization.confusion_matrices(confusion, [Path(p) for p in snakemake.output.plot])
    print(pd.DataFrame(metrics).to_string(), detection.to_string(), sep="\n")
