"""Put one type of defect into the hosts of a shard."""

from pathlib import Path

from defectpool.config import StructuresSettings
from defectpool.materials.host import read_hosts
from defectpool.runtime.job_log import logging_to
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import write_skipped, write_structures

with logging_to(snakemake.log[0]):
    structures, skipped = build_structures(
        read_hosts(Path(snakemake.input[0])),
        defect=snakemake.wildcards.defect,
        supercell=snakemake.wildcards.supercell,
        settings=StructuresSettings(**snakemake.params.structures),
    )
    write_structures(Path(snakemake.output.structures), structures)
    write_skipped(Path(snakemake.output.skipped), skipped)
    print(f"{len(structures)} structures, {len(skipped)} skipped")
