"""Read the source, keep the sane hosts, deal them into shards."""

from pathlib import Path

from defectpool.config import MaterialsSettings
from defectpool.materials.select import select_hosts
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    summary = select_hosts(
        MaterialsSettings(**snakemake.params.materials),
        shards=len(snakemake.output.hosts),
        directory=Path(snakemake.output.selected).parent,
        vacuum=snakemake.params.radius,
    )
    print(summary)
