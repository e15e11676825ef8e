"""Train and test runs: rows of the table, or networks that tell defect types apart."""

from pathlib import Path

from defectpool.campaign.nodes import device_on_this_node
from defectpool.config import NetworkSettings, TrainingSettings, load
from defectpool.graphs.hdf5 import read_shards
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.runtime.job_log import logging_to
from defectpool.runtime.registry import label
from defectpool.training.cross_validation import Run
from defectpool.training.objective import DefectTypes, objective_of
from defectpool.training.together import Entry, train_together

params, wildcards = snakemake.params, dict(snakemake.wildcards)


def each(value):
    """Return what a job has for each run that it trains; for a single one it is no list."""
    return [value] if isinstance(value, str) else list(value)


with logging_to(snakemake.log[0]):
    settings = load(snakemake.config).training
    device = device_on_this_node(settings.device, Path("results/state/unusable_gpus"))
    hosts = snakemake.input.get("hosts")  # there only for a split by prototype
    prototypes = read_prototypes(Path(hosts[0])) if hosts else None
    defects = params.get("defect_types")
    where = [value for key, value in wildcards.items() if key not in ("pooling", "convolution")]
    runs = [
        Run(
            pooling=pooling,
            convolution=convolution,
            network=NetworkSettings(**params.network),
            training=TrainingSettings(**params.training | {"device": device}),
            objective=DefectTypes.of(defects) if defects else objective_of(pooling),
            title=" ".join([*where, label(pooling), label(convolution)]),
            code=code,
            threads=snakemake.threads,
        )
        for pooling, convolution, code in zip(
            each(params.pooling), each(params.convolution), each(params.code), strict=True
        )
    ]
    files = {name: each(paths) for name, paths in snakemake.output.items()}
    entries = [
        Entry(run, Path(state), {name: Path(paths[number]) for name, paths in files.items()})
        for number, (run, state) in enumerate(zip(runs, each(params.state), strict=True))
    ]
    shards = [Path(path) for path in snakemake.input.graphs]
    graphs = read_shards(shards, settings.memory, entries[0].state)
    train_together(graphs, entries, prototypes=prototypes)
