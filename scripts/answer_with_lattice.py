"""Answers of the host's own lattice for an axis of the map."""

from pathlib import Path

from defectpool.evaluation.map_answers import answers, lattice
from defectpool.evaluation.tables import write_csv
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    structures = read_structures(Path(snakemake.input.cells))
    table = answers(structures, snakemake.wildcards.axis, "lattice", lattice)
    write_csv(table, Path(snakemake.output[0]))
    print(f"{len(table)} answers")
