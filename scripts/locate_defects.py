"""Localization: the site that each network of a defect and supercell picks in each structure."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import localization
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import run_key, write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    graphs = read_shards([Path(path) for path in snakemake.input.graphs])
    around = localization.all_surroundings(
        structure
        for path in snakemake.input.structures
        for structure in read_structures(Path(path))
    )
    located = []
    for run in snakemake.params.runs:
        predictions = read_predictions(Path(run["predictions"]))
        picks = localization.locate(Path(run["model"]), graphs, around, predictions)
        located.append(picks.assign(**run_key(run)))
    write_csv(pd.concat(located), Path(snakemake.output[0]))
