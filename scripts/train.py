"""Train and test one entry of the table: a defect, a supercell, a pooling and a convolution."""

from pathlib import Path

from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.graphs.shards import read_shards
from defectpool.job import logging_to
from defectpool.training.fit import cross_validate

with logging_to(snakemake.log[0]):
    training = snakemake.params.training | {"device": load(snakemake.config).training.device}
    entry = snakemake.wildcards
    outcome = cross_validate(
        read_shards([Path(path) for path in snakemake.input]),
        entry.pooling,
        entry.convolution,
        NetworkSettings(**snakemake.params.network),
        TrainingSettings(**training),
        Path(snakemake.params.state),
        title=f"{entry.defect} {entry.supercell} {entry.pooling} {entry.convolution}",
        code=snakemake.params.code,
        threads=snakemake.threads,
    )
    outcome.write(**{name: Path(path) for name, path in snakemake.output.items()})
