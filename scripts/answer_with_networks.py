"""Answers of the networks of a run for an axis of the map."""

from pathlib import Path

from defectpool.evaluation.map_answers import Networks, answers, value_of
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import write_csv
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    pairs = list(zip(snakemake.input.models, snakemake.input.predictions, strict=True))
    loaded = {
        model: Networks(Path(model), read_predictions(Path(predictions)))
        for model, predictions in dict(pairs).items()
    }
    models = zip(snakemake.params.values, snakemake.input.models, strict=True)
    networks = {value: loaded[model] for value, model in models}
    structures = read_structures(Path(snakemake.input.cells))
    wildcards = snakemake.wildcards
    table = answers(
        structures, wildcards.axis, wildcards.network, lambda one: networks[value_of(one)](one)
    )
    write_csv(table, Path(snakemake.output[0]))
    print(f"{len(table)} answers")
