"""Test all networks of a defect on one supercell, whatever supercell they were trained on."""

from pathlib import Path

from defectpool.evaluation import generalization
from defectpool.evaluation.tables import write_csv
from defectpool.graphs.hdf5 import read_shards
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    graphs = read_shards([Path(path) for path in snakemake.input.graphs])
    predictions = generalization.test_runs(snakemake.params.runs, graphs)
    predictions.insert(2, "tested", snakemake.wildcards.supercell)
    write_csv(predictions, Path(snakemake.output[0]))
    print(f"{len(predictions)} predictions")
