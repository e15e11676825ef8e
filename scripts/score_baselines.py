"""Baselines of a defect and supercell: composition, number of atoms, and the host's own lattice."""

from pathlib import Path

import numpy as np
import pandas as pd

from defectpool.config import TrainingSettings
from defectpool.evaluation import baselines, lattice_baseline
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures
from defectpool.training.cross_validation import all_folds

with logging_to(snakemake.log[0]):
    predictions = read_predictions(Path(snakemake.input.predictions))
    graphs = read_shards([Path(path) for path in snakemake.input.graphs])
    key = (snakemake.wildcards.defect, snakemake.wildcards.supercell, snakemake.params.bootstrap)
    hosts = snakemake.input.get("hosts")  # there only for a split by prototype
    prototypes = read_prototypes(Path(hosts[0])) if hosts else None
    folds = all_folds(graphs, TrainingSettings(**snakemake.params.training), prototypes)
    trained = {
        (fold.repeat, fold.number): np.concatenate([fold.train, fold.validation]) for fold in folds
    }
    rows = baselines.every_row(graphs, predictions, *key, trained)
    found = lattice_baseline.find(
        structure
        for path in snakemake.input.structures
        for structure in read_structures(Path(path))
    )
    answers = lattice_baseline.judged(found, predictions)
    frame = pd.DataFrame([*rows, lattice_baseline.row(answers, *key)])
    write_csv(frame, Path(snakemake.output[0]))
    print(frame.to_string(index=False))
    wrong = lattice_baseline.wrong(answers)
    print(f"\n{len(wrong)} wrong answers of the lattice")
    if len(wrong):
        print(wrong.to_string(index=False))
