"""Results table, statistics and comparisons from the stored predictions of all runs."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation.predictions import read_audit, read_predictions
from defectpool.evaluation.tables import run_key, write_csv
from defectpool.reporting import table
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    resamples = snakemake.params.bootstrap
    differences = snakemake.params.published_differences
    runs, rows = [], []
    for run in snakemake.params.runs:
        key, predictions = run_key(run), read_predictions(Path(run["predictions"]))
        audit = read_audit(Path(run["audit"]))
        runs.append((key, predictions))
        rows.append(table.run_row(predictions, audit, key, resamples, differences))
    frame = table.table(rows)
    statistics = pd.DataFrame([table.statistics_row(p, key, resamples) for key, p in runs])
    comparisons = pd.DataFrame(
        table.comparison_rows(runs, resamples), columns=table.COMPARISON_COLUMNS
    )
    text = table.markdown(frame)

    write_csv(frame, Path(snakemake.output.csv))
    write_csv(statistics, Path(snakemake.output.statistics))
    write_csv(comparisons, Path(snakemake.output.comparisons))
    write_text(snakemake.output.markdown, text)
    print(text)
