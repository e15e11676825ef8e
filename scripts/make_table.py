"""Turn the stored predictions of all entries into the table, its statistics and comparisons."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation.predictions import read_audit, read_predictions
from defectpool.reporting import table
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    resamples = snakemake.params.results["bootstrap"]
    keys = [dict(zip(table.KEY, key, strict=True)) for key in snakemake.params.entries]
    entries = [
        (key, read_predictions(Path(path)))
        for key, path in zip(keys, snakemake.input.predictions, strict=True)
    ]
    audits = [read_audit(Path(path)) for path in snakemake.input.audits]
    rows = [
        table.entry_row(predictions, audit, key, resamples)
        for (key, predictions), audit in zip(entries, audits, strict=True)
    ]
    frame = table.table(rows)
    figures = pd.DataFrame([table.statistics_row(p, key, resamples) for key, p in entries])
    comparisons = pd.DataFrame(
        table.comparison_rows(entries, resamples), columns=table.COMPARISON_COLUMNS
    )
    text = table.markdown(frame)

    table.write_csv(frame, Path(snakemake.output.csv))
    table.write_csv(figures, Path(snakemake.output.statistics))
    table.write_csv(comparisons, Path(snakemake.output.comparisons))
    write_text(snakemake.output.markdown, text)
    print(text)
