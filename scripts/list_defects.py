"""Lists of the defects of test structures, by networks with a class for every site."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_lists
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    tables = []
    for run in snakemake.params.runs:
        networks = UnseenNetworks(Path(run["model"]), read_predictions(Path(run["predictions"])))
        structures = (
            one for path in snakemake.input.structures for one in read_structures(Path(path))
        )
        rows = defect_lists.lists(structures, networks)
        tables.append(rows.assign(**{name: run[name] for name in RUN_KEY[1:]}))
    write_csv(pd.concat(tables), Path(snakemake.output[0]))
    print(f"{sum(map(len, tables))} structures")
