"""Train and test one network for all defects, which says which one it is."""

from pathlib import Path

from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.graphs.hdf5 import read_shards
from defectpool.reporting import table
from defectpool.runtime.job_log import logging_to
from defectpool.structures.labels import PRISTINE
from defectpool.training.defect_types import cross_validate

with logging_to(snakemake.log[0]):
    training = snakemake.params.training | {"device": load(snakemake.config).training.device}
    predictions = cross_validate(
        read_shards([Path(path) for path in snakemake.input]),
        [PRISTINE, *snakemake.params.defects],
        snakemake.wildcards.pooling,
        snakemake.wildcards.convolution,
        NetworkSettings(**snakemake.params.network),
        TrainingSettings(**training),
        threads=snakemake.threads,
    )
    table.write_csv(predictions, Path(snakemake.output[0]))
