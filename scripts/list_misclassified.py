"""Misclassified structures of all runs, and whether their graphs contain the defect at all."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from defectpool.evaluation.misclassified import changed_sites, misclassified, with_graphs
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import run_key, write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    tables, rounds = [], snakemake.params.rounds
    place = itemgetter("defect", "supercell")
    for (defect, supercell), runs in groupby(snakemake.params.runs, key=place):
        shards = [Path(path) for path in snakemake.input.graphs]
        graphs = read_shards([p for p in shards if p.parts[-3:-1] == (defect, supercell)])
        hidden = (changed_sites(graphs, rounds) == 0) & (graphs.label == 1)
        print(
            f"{defect} {supercell}: {np.count_nonzero(hidden)} of "
            f"{np.count_nonzero(graphs.label)} defects change no site:",
            *graphs.structure[hidden],
        )
        for run in runs:
            predictions = read_predictions(Path(run["predictions"]))
            wrong = with_graphs(misclassified(predictions), graphs, rounds)
            for column, (name, value) in enumerate(run_key(run).items()):
                wrong.insert(column, name, value)
            tables.append(wrong)
    write_csv(pd.concat(tables), Path(snakemake.output[0]))
