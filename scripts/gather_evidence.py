"""Baselines and localization of all runs in one table each, and further plots."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import localization
from defectpool.evaluation.predictions import read_history, read_predictions
from defectpool.evaluation.tables import RUN_KEY, run_key, write_csv
from defectpool.reporting import plots, table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    source, target = snakemake.input, snakemake.output
    located = pd.concat([localization.read(Path(path)) for path in source.located])

    write_csv(pd.concat([pd.read_csv(path) for path in source.baselines]), Path(target.baselines))
    rows = localization.summary(located, RUN_KEY, snakemake.params.bootstrap)
    write_csv(pd.DataFrame(rows), Path(target.localization))

    labeled = []
    for run in snakemake.params.runs:
        key, predictions = run_key(run), read_predictions(Path(run["predictions"]))
        labeled.append(predictions.assign(**key))
        history = read_history(Path(run["history"]))
        plots.run(history, predictions, " ".join(key.values()), Path(run["plot"]))
    plots.calibration(pd.concat(labeled), [Path(path) for path in target.calibration])
    plots.distances_to_defect(located, [Path(path) for path in target.distances])
    plots.cost(table.read_csv(Path(source.table)), [Path(path) for path in target.cost])
