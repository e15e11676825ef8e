"""Answers of a method that ran in an environment of its own, for an axis of the map."""

from pathlib import Path

from defectpool.evaluation.map_answers import answers, told_by
from defectpool.evaluation.tables import write_csv
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    structures = read_structures(Path(snakemake.input.cells))
    wildcards = snakemake.wildcards
    method = told_by(Path(snakemake.input.told))
    table = answers(structures, wildcards.axis, wildcards.baseline, method)
    write_csv(table, Path(snakemake.output[0]))
    print(f"{len(table)} answers")
