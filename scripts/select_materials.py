"""Select the hosts of a campaign and split them into shards."""

from pathlib import Path

from defectpool.config import load
from defectpool.materials.select import RECORD, select_hosts
from defectpool.runtime.job_log import logging_to

folder = Path(snakemake.output.selected).parent

with logging_to(snakemake.log[0]):
    summary = select_hosts(
        load(snakemake.config).materials,
        shards=len(snakemake.output.hosts),
        directory=folder,
        vacuum=snakemake.params.radius,
        last_record=folder.parents[1] / RECORD,
    )
    print(summary)
