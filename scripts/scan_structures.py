"""Scan the files of a shard for point defects, those that were not scanned before."""

from pathlib import Path

from defectpool.runtime.job_log import logging_to
from defectpool.scan import Limits, shards

with logging_to(snakemake.log[0]):
    count = shards.scan_shard(
        Path(snakemake.input.files),
        Path(snakemake.output[0]),
        state=Path(snakemake.params.state),
        limits=Limits(**snakemake.params.limits),
        code=snakemake.params.code,
        track=snakemake.params.track,
        models=[Path(path) for path in snakemake.input.models],
    )
    print(f"{count} files scanned")
