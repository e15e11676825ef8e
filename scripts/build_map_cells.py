"""Build the structures of an axis of the map."""

from pathlib import Path

from defectpool.config import MapSettings, StructuresSettings
from defectpool.materials.host import read_hosts
from defectpool.runtime.job_log import logging_to
from defectpool.structures.map_cells import build_cells
from defectpool.structures.structure_files import write_skipped, write_structures

with logging_to(snakemake.log[0]):
    hosts = [host for path in snakemake.input.hosts for host in read_hosts(Path(path))]
    structures, skipped = build_cells(
        hosts,
        snakemake.wildcards.axis,
        snakemake.params.defects,
        MapSettings(**snakemake.params.map),
        StructuresSettings(**snakemake.params.structures),
    )
    write_structures(Path(snakemake.output.cells), structures)
    write_skipped(Path(snakemake.output.skipped), skipped)
    print(f"{len(structures)} structures, {len(skipped)} defects could not be built")
