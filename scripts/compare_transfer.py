"""Compare what networks do on the supercells they were trained on and on others."""

from pathlib import Path

import pandas as pd

from defectpool.job import logging_to
from defectpool.results import plots_transfer, table, transfer

with logging_to(snakemake.log[0]):
    predictions = pd.concat([transfer.read(Path(path)) for path in snakemake.input])
    accuracies = transfer.accuracies(predictions, "tested", snakemake.params.bootstrap)
    table.write_csv(accuracies, Path(snakemake.output.csv))
    plots_transfer.heat_maps(accuracies, [Path(path) for path in snakemake.output.matrix])
    plots_transfer.accuracy_by_concentration(
        accuracies, [Path(path) for path in snakemake.output.concentration]
    )
    print(accuracies.to_string())
