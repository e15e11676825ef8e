"""Shares of test structures whose list of defects is right."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_lists
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    rows = pd.concat([defect_lists.read(Path(path)) for path in snakemake.input])
    key = RUN_KEY[1:]
    tables = []
    for names, part in rows.groupby(key, sort=False):
        found = defect_lists.table(part, snakemake.params.bootstrap)
        tables.append(found.assign(**dict(zip(key, names, strict=True))))
    table = pd.concat(tables, ignore_index=True).set_index(key).reset_index()
    write_csv(table, Path(snakemake.output[0]))
    print(table.to_string())
