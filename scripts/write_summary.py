"""Report page with the results table, the details of each run, settings and versions."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation.misclassified import misclassified
from defectpool.evaluation.predictions import read_audit, read_predictions
from defectpool.reporting import summary, table
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    source = snakemake.input
    names = ("comparisons", "statistics", "baselines", "localization")
    inputs = summary.Inputs(
        table=table.read_csv(Path(source.table)),
        **{name: pd.read_csv(source[name]) for name in names},
        rejected=pd.read_csv(source.rejected, keep_default_na=False),
        audits=[read_audit(Path(path)) for path in source.audits],
        misclassified=[misclassified(read_predictions(Path(p))) for p in source.predictions],
        run_plots=[Path(path).read_text(encoding="utf-8") for path in source.run_plots],
        accuracy_plot=Path(source.accuracy_plot).read_text(encoding="utf-8"),
        structures=Path(source.structures).read_text(encoding="utf-8"),
        settings=snakemake.params.settings,
    )
    write_text(snakemake.output[0], summary.page(inputs))
