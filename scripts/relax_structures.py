"""Relax a shard of structures, or run molecular dynamics, where the displacement model says so."""

from pathlib import Path

from defectpool.config import StructuresSettings, load
from defectpool.runtime.job_log import logging_to
from defectpool.runtime.lease import lease
from defectpool.structures.calculators import calculator_maker
from defectpool.structures.relaxation_stage import relax_structures
from defectpool.structures.structure_files import (
    read_structures,
    write_skipped,
    write_structures,
)

params, state = snakemake.params, Path(snakemake.params.state)


def device() -> str:
    """Device of this node, as for a training."""
    from defectpool.campaign.nodes import device_on_this_node
    from defectpool.training.device import choose

    wanted = load(snakemake.config).training.device
    return choose(device_on_this_node(wanted, Path("results/state/unusable_gpus"))).type


def maker(name):
    """Maker of a calculator; only potentials in torch ask for a device."""
    return calculator_maker(name, device() if name in ("chgnet", "sevennet") else "cpu")


with logging_to(snakemake.log[0]):
    # A Snakemake that was killed may have left this very job running.
    with lease(state / "lease") as held:
        structures, skipped = relax_structures(
            read_structures(Path(snakemake.input[0])),
            StructuresSettings(**params.structures),
            make=maker,
            state=state / "finished.jsonl",
            code=params.code,
        )
        held.check()
        write_structures(Path(snakemake.output.structures), structures)
        write_skipped(Path(snakemake.output.skipped), skipped)
    print(f"{len(structures)} structures, {len(skipped)} failed")
