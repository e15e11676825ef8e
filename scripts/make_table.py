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
    keys = [run_key(run) for run in snakemake.params.runs]
    predictions = [read_predictions(Path(path)) for path in snakemake.input.predictions]
    audits = [read_audit(Path(path)) for path in snakemake.input.audits]
    runs = list(zip(keys, predictions, strict=True))
    frame = table.table(
        table.run_row(predicted, audit, key, resamples, snakemake.params.published_differences)
        for (key, predicted), audit in zip(runs, audits, strict=True)
    )
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
