"""Misclassified structures of all runs, and whether their graphs contain the defect at all."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from defectpool.evaluation.misclassified import changed_sites, misclassified, with_graphs
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    files = zip(snakemake.params.entries, snakemake.input.predictions, strict=True)
    tables, rounds = [], snakemake.params.rounds
    for (defect, supercell), runs in groupby(files, key=lambda one: one[0][:2]):
        folder = Path("results/graphs", defect, supercell)
        graphs = read_shards([folder / f"{shard}.h5" for shard in snakemake.params.shards])
        hidden = (changed_sites(graphs, rounds) == 0) & (graphs.label == 1)
        print(
            f"{defect} {supercell}: {np.count_nonzero(hidden)} of "
            f"{np.count_nonzero(graphs.label)} defects change no site:",
            *graphs.structure[hidden],
        )
        for run, path in runs:
            wrong = with_graphs(misclassified(read_predictions(Path(path))), graphs, rounds)
            for place, (column, value) in enumerate(zip(RUN_KEY, run, strict=True)):
                wrong.insert(place, column, value)
            tables.append(wrong)
    write_csv(pd.concat(tables), Path(snakemake.output[0]))
