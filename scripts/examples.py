"""Write one defect of each type in a host as CIF and POSCAR, and draw them."""

from pathlib import Path

from defectpool.config import StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.materials.host import read_hosts
from defectpool.runtime.job_log import logging_to
from defectpool.structures.pictures import write_examples

wanted = snakemake.params.examples["host"]

with logging_to(snakemake.log[0]):
    hosts = (host for shard in snakemake.input for host in read_hosts(Path(shard)))
    host = next((host for host in hosts if host.id == wanted), None)
    if host is None:
        raise DefectpoolError(
            f"examples.host: there is no host {wanted} among those selected; "
            "results/materials/selected.csv lists them"
        )
    left_out = write_examples(
        host,
        snakemake.params.defects,
        snakemake.params.examples["supercell"],
        StructuresSettings(**snakemake.params.structures),
        Path(snakemake.output[0]),
    )
    for skipped in left_out:
        print(f"{host.id} has no {skipped.defect}: {skipped.message}")
    print(f"{host.id} is drawn in {snakemake.output[0]}")
