"""Viewer page: structures in 3D with the sites that the networks picked."""

from pathlib import Path

from defectpool.evaluation import localization
from defectpool.evaluation.tables import RUN_KEY
from defectpool.reporting import viewer
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    examples = []
    for path in map(Path, snakemake.input.located):
        defect, supercell = path.parts[-2], path.stem
        picks = localization.read(path)
        chosen = viewer.choose(picks, snakemake.params.each)
        pairs = viewer.pairs(
            (
                structure
                for source in map(Path, snakemake.input.structures)
                if source.parts[-3:-1] == (defect, supercell)
                for structure in read_structures(source)
            ),
            chosen,
        )
        for name in chosen:
            rows = picks[picks["structure"] == name].drop_duplicates([*RUN_KEY, "method"])
            examples.append(viewer.example(*pairs[name], rows.to_dict("records")))
    write_text(snakemake.output[0], viewer.page(examples))
    for example in examples:
        print(example["title"])
