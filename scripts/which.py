"""Train and test one network for all defects, which says which one it is."""

from pathlib import Path

from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.graphs.shards import read_shards
from defectpool.job import logging_to
from defectpool.results import table
from defectpool.structures.names import PERFECT
from defectpool.training.kinds import cross_validate

with logging_to(snakemake.log[0]):
    training = snakemake.params.training | {"device": load(snakemake.config).training.device}
    predictions = cross_validate(
        read_shards([Path(path) for path in snakemake.input]),
        [PERFECT, *snakemake.params.defects],
        snakemake.wildcards.pooling,
        snakemake.wildcards.convolution,
        NetworkSettings(**snakemake.params.network),
        TrainingSettings(**training),
        threads=snakemake.threads,
    )
    table.write_csv(predictions, Path(snakemake.output[0]))
