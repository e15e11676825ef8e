"""Write one page with all figures of the campaign, its hosts, settings, versions and cost."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation.predictions import read_audit
from defectpool.reporting import summary, table
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    source = snakemake.input
    text = summary.page(
        table.read_csv(Path(source.table)),
        *(
            pd.read_csv(path)
            for path in (
                source.comparisons, source.statistics, source.baselines, source.localization,
            )
        ),
        rejected=pd.read_csv(source.rejected, keep_default_na=False),
        audits=[read_audit(Path(path)) for path in source.audits],
        settings=snakemake.params.settings,
    )  # fmt: skip
    write_text(snakemake.output[0], text)
