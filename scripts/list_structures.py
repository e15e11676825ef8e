"""Deal the files of the scanned folder into shards."""

from pathlib import Path

from defectpool.runtime.job_log import logging_to
from defectpool.scan import shards

with logging_to(snakemake.log[0]):
    count = shards.write_lists(snakemake.params.path, [Path(path) for path in snakemake.output])
    print(f"{count} files in {len(snakemake.output)} shards")
