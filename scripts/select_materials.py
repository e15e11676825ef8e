"""Select the hosts of a campaign and split them into shards."""

from pathlib import Path

from defectpool.config import load
from defectpool.materials.select import select_hosts
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    summary = select_hosts(
        load(snakemake.config).materials,
        shards=len(snakemake.output.hosts),
        directory=Path(snakemake.output.selected).parent,
        vacuum=snakemake.params.radius,
    )
    print(summary)
