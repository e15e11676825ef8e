"""Write one defect of each type in a host as CIF and POSCAR, and draw them."""

from pathlib import Path

from defectpool.config import StructuresSettings
from defectpool.materials.host import read_hosts
from defectpool.runtime.job_log import logging_to
from defectpool.structures.displaced_pictures import write_displaced
from defectpool.structures.pictures import example_host, write_examples

with logging_to(snakemake.log[0]):
    hosts = (host for shard in snakemake.input for host in read_hosts(Path(shard)))
    host = example_host(hosts, snakemake.params.examples["host"])
    left_out = write_examples(
        host,
        snakemake.params.defects,
        snakemake.params.examples["supercell"],
        StructuresSettings(**snakemake.params.structures),
        Path(snakemake.output[0]),
    )
    notes = write_displaced(
        host,
        snakemake.params.defects,
        snakemake.params.examples["supercell"],
        StructuresSettings(**snakemake.params.structures),
        Path(snakemake.output[0]),
    )
    print(*notes, sep="\n")
    for skipped in left_out:
        print(f"{host.id} has no {skipped.defect}: {skipped.message}")
    print(f"{host.id} is drawn in {snakemake.output[0]}")
