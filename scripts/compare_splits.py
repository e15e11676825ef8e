"""Compare the accuracy on unseen formulas with that of other splits."""

from pathlib import Path

import pandas as pd

from defectpool.job import logging_to
from defectpool.results import plots_transfer, statistics, table
from defectpool.results.predictions import read_predictions

with logging_to(snakemake.log[0]):
    rows = []
    for key, path in zip(snakemake.params.entries, snakemake.input, strict=True):
        figures = statistics.entry(read_predictions(Path(path)), snakemake.params.bootstrap)
        rows.append(dict(zip(("split", *table.KEY), key, strict=True)) | figures)
    frame = pd.DataFrame(rows)
    table.write_csv(frame, Path(snakemake.output.csv))
    plots_transfer.accuracy_by_split(frame, [Path(path) for path in snakemake.output.plot])
    print(frame.to_string())
