"""Copy a finished selection to results/materials, and remove those that it replaces."""

import shutil
from pathlib import Path

from defectpool.materials.select import RECORD
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.job_log import logging_to

folder = Path(snakemake.input[0]).parent
record = Path(snakemake.output.selected).with_name(RECORD)

with logging_to(snakemake.log[0]):
    sources = [*snakemake.input, folder / RECORD]
    for source, target in zip(sources, [*snakemake.output, record], strict=True):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other)
