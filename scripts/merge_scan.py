"""Merge the shards of a scan into tables and a page."""

from pathlib import Path

from defectpool.runtime.job_log import logging_to
from defectpool.scan import merging

with logging_to(snakemake.log[0]):
    counts = merging.merge(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output.structures).parent,
        Path(snakemake.output.report),
        snakemake.params.networks,
    )
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
