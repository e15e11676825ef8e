"""List what the networks get wrong, and whether the graphs show the defect at all."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from defectpool.evaluation import misclassified
from defectpool.evaluation.predictions import read_predictions
from defectpool.graphs.hdf5 import read_shards
from defectpool.reporting import table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    files = zip(snakemake.params.entries, snakemake.input.predictions, strict=True)
    tables, rounds = [], snakemake.params.rounds
    for (defect, supercell), entries in groupby(files, key=lambda one: one[0][:2]):
        folder = Path("results/graphs", defect, supercell)
        graphs = read_shards([folder / f"{shard}.h5" for shard in snakemake.params.shards])
        hidden = (misclassified.changed_sites(graphs, rounds) == 0) & (graphs.label == 1)
        print(
            f"{defect} {supercell}: {np.count_nonzero(hidden)} of "
            f"{np.count_nonzero(graphs.label)} defects change no site:",
            *graphs.structure[hidden],
        )
        for entry, path in entries:
            found = misclassified.errors(read_predictions(Path(path)), graphs, rounds)
            for place, (key, value) in enumerate(zip(table.KEY, entry, strict=True)):
                found.insert(place, key, value)
            tables.append(found)
    table.write_csv(pd.concat(tables), Path(snakemake.output[0]))
