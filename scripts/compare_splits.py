"""Compare the accuracy on unseen formulas with that of other splits."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import statistics
from defectpool.evaluation.predictions import read_predictions
from defectpool.reporting import plots_generalization, table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    rows = []
    for key, path in zip(snakemake.params.entries, snakemake.input, strict=True):
        figures = statistics.entry(read_predictions(Path(path)), snakemake.params.bootstrap)
        rows.append(dict(zip(("split", *table.KEY), key, strict=True)) | figures)
    frame = pd.DataFrame(rows)
    table.write_csv(frame, Path(snakemake.output.csv))
    plots_generalization.accuracy_by_split(frame, [Path(path) for path in snakemake.output.plot])
    print(frame.to_string())
