"""Put baselines and picked sites of all entries together, and draw what the table cannot say."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import localization
from defectpool.evaluation.predictions import read_history, read_predictions
from defectpool.reporting import plots, table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    source, target = snakemake.input, snakemake.output
    keys = [dict(zip(table.KEY, entry, strict=True)) for entry in snakemake.params.entries]
    predictions = [read_predictions(Path(path)) for path in source.predictions]
    histories = [read_history(Path(path)) for path in source.histories]
    located = pd.concat([localization.read(Path(path)) for path in source.located])

    table.write_csv(
        pd.concat([pd.read_csv(path) for path in source.baselines]), Path(target.baselines)
    )
    rows = localization.summary(located, table.KEY, snakemake.params.bootstrap)
    table.write_csv(pd.DataFrame(rows), Path(target.localization))

    every = [frame.assign(**key) for key, frame in zip(keys, predictions, strict=True)]
    plots.calibration(pd.concat(every), [Path(path) for path in target.calibration])
    plots.distances_to_defect(located, [Path(path) for path in target.distances])
    plots.cost(table.read_csv(Path(source.table)), [Path(path) for path in target.cost])
    for key, history, frame, path in zip(keys, histories, predictions, target.entries, strict=True):
        plots.entry(history, frame, " ".join(key.values()), Path(path))
