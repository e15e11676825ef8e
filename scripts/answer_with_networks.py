"""Answers of the networks of a run for an axis of the map."""

from pathlib import Path

from defectpool.evaluation.map_answers import Networks, answers
from defectpool.evaluation.predictions import read_predictions
from defectpool.evaluation.tables import write_csv
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    predictions = read_predictions(Path(snakemake.input.predictions))
    networks = Networks(Path(snakemake.input.model), predictions)
    structures = read_structures(Path(snakemake.input.cells))
    wildcards = snakemake.wildcards
    table = answers(structures, wildcards.axis, wildcards.network, networks)
    write_csv(table, Path(snakemake.output[0]))
    print(f"{len(table)} answers")
