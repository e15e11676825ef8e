"""Test the networks of a defect and supercell on structures whose atoms are displaced."""

from pathlib import Path

import pandas as pd

from defectpool.config import GraphSettings, StructuresSettings
from defectpool.evaluation import generalization
from defectpool.evaluation.tables import write_csv
from defectpool.graphs.graph_set import graph_set
from defectpool.materials.host import read_hosts
from defectpool.runtime.job_log import logging_to
from defectpool.structures.build import build_structures

with logging_to(snakemake.log[0]):
    hosts = [host for path in snakemake.input.hosts for host in read_hosts(Path(path))]
    tables = []
    for rattle in snakemake.params.rattle:
        structures, _ = build_structures(
            hosts,
            snakemake.wildcards.defect,
            snakemake.wildcards.supercell,
            StructuresSettings(**snakemake.params.structures, rattle=rattle),
        )
        graphs = graph_set(
            structures, GraphSettings(**snakemake.params.graph), snakemake.params.rounds
        )
        tables.append(generalization.test_runs(snakemake.params.runs, graphs))
        tables[-1].insert(2, "rattle", rattle)
        print(f"{rattle} Å: {len(tables[-1])} predictions")
    write_csv(pd.concat(tables), Path(snakemake.output[0]))
