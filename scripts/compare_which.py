"""How often each kind of defect is taken for which, and how often any defect is found."""

from pathlib import Path

import pandas as pd

from defectpool.job import logging_to
from defectpool.results import kinds, plots_transfer, table
from defectpool.results.predictions import read_predictions
from defectpool.structures.names import PERFECT, kind_of

with logging_to(snakemake.log[0]):
    names = [PERFECT, *snakemake.params.defects]
    confusions, figures, found = [], [], []
    for entry, which, any_defect in zip(
        snakemake.params.entries, snakemake.input.which, snakemake.input.any_defect, strict=True
    ):
        key = dict(zip(table.KEY[1:], entry, strict=True))
        predictions = kinds.read(Path(which))
        confusions.append(kinds.confusion(predictions, names).assign(**key))
        figures.append(key | kinds.figures(predictions, names, snakemake.params.bootstrap))
        binary = read_predictions(Path(any_defect))
        binary["kind"] = [
            kind_of(name, formula, 1)
            for name, formula in zip(binary["name"], binary["formula"], strict=True)
        ]
        found.append(kinds.by_kind(binary, snakemake.params.bootstrap).assign(**key))
    confusion, everything = (
        pd.concat(each, ignore_index=True).set_index(table.KEY[1:]).reset_index()
        for each in (confusions, found)
    )
    table.write_csv(confusion, Path(snakemake.output.confusion))
    table.write_csv(pd.DataFrame(figures), Path(snakemake.output.which))
    table.write_csv(everything, Path(snakemake.output.any_defect))
    plots_transfer.confusion_matrices(confusion, [Path(p) for p in snakemake.output.plot])
    print(pd.DataFrame(figures).to_string(), everything.to_string(), sep="\n")
