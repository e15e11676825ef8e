"""Compare what networks do when atoms are displaced."""

from pathlib import Path

import pandas as pd

from defectpool.job import logging_to
from defectpool.results import plots_transfer, table, transfer

with logging_to(snakemake.log[0]):
    predictions = pd.concat([transfer.read(Path(path)) for path in snakemake.input])
    accuracies = transfer.accuracies(predictions, "rattle", snakemake.params.bootstrap)
    table.write_csv(accuracies, Path(snakemake.output.csv))
    plots_transfer.accuracy_by_rattle(accuracies, [Path(p) for p in snakemake.output.plot])
    print(accuracies.to_string())
