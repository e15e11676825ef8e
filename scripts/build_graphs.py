"""Turn a shard of structures into crystal graphs."""

from pathlib import Path

from defectpool.config import GraphSettings
from defectpool.graphs.hdf5 import write_shard
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    counts = write_shard(
        Path(snakemake.output[0]),
        read_structures(Path(snakemake.input[0])),
        GraphSettings(**snakemake.params.graph),
        rounds=snakemake.params.rounds,
    )
    print(
        f"{counts.structures} structures of {counts.sites} sites became graphs of {counts.nodes} "
        f"nodes and {counts.edges} edges"
    )
    for structure, reason in counts.skipped:
        print(f"left out: {structure}: {reason}")
