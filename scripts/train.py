"""Train and test one run: a row of the table, or a network that tells defect types apart."""

from pathlib import Path

from defectpool.campaign.nodes import device_on_this_node
from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.graphs.hdf5 import read_shards
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.runtime.job_log import logging_to
from defectpool.runtime.lease import lease
from defectpool.training.cross_validation import Run, cross_validate
from defectpool.training.objective import DefectTypes, objective_of

params, state = snakemake.params, Path(snakemake.params.state)

with logging_to(snakemake.log[0]):
    settings = load(snakemake.config).training
    device = device_on_this_node(settings.device, Path("results/state/unusable_gpus"))
    hosts = snakemake.input.get("hosts")  # there only for a split by prototype
    prototypes = read_prototypes(Path(hosts[0])) if hosts else None
    defects = params.get("defect_types")
    run = Run(
        pooling=params.pooling,
        convolution=params.convolution,
        network=NetworkSettings(**params.network),
        training=TrainingSettings(**params.training | {"device": device}),
        objective=DefectTypes.of(defects) if defects else objective_of(params.pooling),
        title=" ".join(dict(snakemake.wildcards).values()),
        code=params.code,
        threads=snakemake.threads,
    )
    # A Snakemake that was killed may have left this very job running.
    with lease(state / "lease") as held:
        shards = [Path(path) for path in snakemake.input.graphs]
        graphs = read_shards(shards, settings.memory, state)
        artifacts = cross_validate(graphs, run, state, prototypes=prototypes)
        held.check()
        artifacts.write(**{name: Path(path) for name, path in snakemake.output.items()})
