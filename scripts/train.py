"""Train and test one entry of the table: a defect, a supercell, a pooling and a convolution."""

from pathlib import Path

from defectpool.campaign.nodes import gpu_was_given, mark_unusable_gpu
from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.errors import DefectpoolError
from defectpool.graphs.hdf5 import read_shards
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.runtime.job_log import logging_to
from defectpool.runtime.lease import lease
from defectpool.training.cross_validation import cross_validate
from defectpool.training.device import choose

state = Path(snakemake.params.state)

with logging_to(snakemake.log[0]):
    training = snakemake.params.training | {"device": load(snakemake.config).training.device}
    if gpu_was_given() and choose("auto").type == "cpu":
        node = mark_unusable_gpu(Path("results/state/unusable_gpus"), "torch cannot use the GPU")
        print(f"the GPU that SLURM gave on node {node} cannot be used; next jobs leave it out")
        if training["device"] == "cuda":
            raise DefectpoolError(f"training.device: cuda, and node {node} has no usable GPU")
    # There only for a split by prototype.
    hosts = snakemake.input.hosts
    prototypes = read_prototypes(Path(hosts[0])) if hosts else None
    # A Snakemake that was killed may have left this very job running.
    with lease(state / "lease") as held:
        entry = snakemake.wildcards
        outcome = cross_validate(
            read_shards([Path(path) for path in snakemake.input.graphs]),
            entry.pooling,
            entry.convolution,
            NetworkSettings(**snakemake.params.network),
            TrainingSettings(**training),
            state,
            title=f"{entry.defect} {entry.supercell} {entry.pooling} {entry.convolution}",
            code=snakemake.params.code,
            threads=snakemake.threads,
            prototypes=prototypes,
        )
        held.check()
        outcome.write(**{name: Path(path) for name, path in snakemake.output.items()})
