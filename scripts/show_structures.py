"""Write the page that shows some structures in 3D with the sites that the networks picked."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import localization
from defectpool.reporting import table, viewer
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    examples = []
    for defect, located in zip(snakemake.params.defects, snakemake.input.located, strict=True):
        picks = localization.read(Path(located))
        chosen = viewer.choose(picks, snakemake.params.each)
        twins = viewer.twins(
            (
                structure
                for path in snakemake.input.structures
                if Path(path).parts[-3] == defect
                for structure in read_structures(Path(path))
            ),
            chosen,
        )
        for name in chosen:
            rows = picks[picks["structure"] == name].drop_duplicates([*table.KEY, "method"])
            examples.append(viewer.example(*twins[name], rows.to_dict("records")))
    viewer.write(examples, Path(snakemake.output[0]))
    print(pd.Series([example["title"] for example in examples]).to_string(index=False))
