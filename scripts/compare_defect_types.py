"""How often each kind of defect is taken for which, and how often any defect is found."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import defect_types
from defectpool.evaluation.predictions import read_predictions
from defectpool.reporting import plots_generalization, table
from defectpool.runtime.job_log import logging_to
from defectpool.structures.labels import PRISTINE, defect_type_of

with logging_to(snakemake.log[0]):
    names = [PRISTINE, *snakemake.params.defects]
    confusions, figures, found = [], [], []
    for entry, classified, any_defect in zip(
        snakemake.params.entries,
        snakemake.input.defect_types,
        snakemake.input.any_defect,
        strict=True,
    ):
        key = dict(zip(table.KEY[1:], entry, strict=True))
        predictions = defect_types.read(Path(classified))
        confusions.append(defect_types.confusion(predictions, names).assign(**key))
        figures.append(key | defect_types.figures(predictions, names, snakemake.params.bootstrap))
        binary = read_predictions(Path(any_defect))
        binary["defect_type"] = [
            defect_type_of(name, formula, 1)
            for name, formula in zip(binary["name"], binary["formula"], strict=True)
        ]
        found.append(defect_types.by_kind(binary, snakemake.params.bootstrap).assign(**key))
    confusion, everything = (
        pd.concat(each, ignore_index=True).set_index(table.KEY[1:]).reset_index()
        for each in (confusions, found)
    )
    table.write_csv(confusion, Path(snakemake.output.confusion))
    table.write_csv(pd.DataFrame(figures), Path(snakemake.output.defect_types))
    table.write_csv(everything, Path(snakemake.output.any_defect))
    plots_generalization.confusion_matrices(confusion, [Path(p) for p in snakemake.output.plot])
    print(pd.DataFrame(figures).to_string(), everything.to_string(), sep="\n")
