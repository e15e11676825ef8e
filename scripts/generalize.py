"""Test all networks of a defect on one supercell, whatever supercell they were trained on."""

from pathlib import Path

from defectpool.evaluation import generalization
from defectpool.graphs.hdf5 import read_shards
from defectpool.reporting import table
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    files = zip(
        snakemake.params.entries, snakemake.input.models, snakemake.input.predictions, strict=True
    )
    predictions = generalization.test_runs(
        [(marks, Path(model), Path(tested)) for marks, model, tested in files],
        read_shards([Path(path) for path in snakemake.input.graphs]),
    )
    predictions.insert(2, "tested", snakemake.wildcards.supercell)
    table.write_csv(predictions, Path(snakemake.output[0]))
    print(f"{len(predictions)} predictions")
