"""Detection accuracy of networks that were trained on all defects, for each defect type."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_types
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.runtime.job_log import logging_to
from defectpool.structures.labels import defect_type_of

with logging_to(snakemake.log[0]):
    detections = []
    for run in snakemake.params.runs:
        key = {name: run[name] for name in RUN_KEY[1:]}
        binary = read_predictions(Path(run["predictions"]))
        binary["defect_type"] = [
            defect_type_of(name, formula, 1)
            for name, formula in zip(binary["name"], binary["formula"], strict=True)
        ]
        detection = defect_types.detection_by_defect_type(binary, snakemake.params.bootstrap)
        detections.append(detection.assign(**key))
    table = pd.concat(detections, ignore_index=True).set_index(RUN_KEY[1:]).reset_index()
    write_csv(table, Path(snakemake.output[0]))
    print(table.to_string())
