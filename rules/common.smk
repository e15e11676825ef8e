"""Settings and helper functions that the rules share."""

import os
import sys
import time
from itertools import product
from pathlib import Path

# Beside this very file: `workflow.basedir` is another folder where a `module` imports this one.
SCRIPTS = (
    Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent / "scripts"
)
# The library beside these rules comes before any that is installed, here and in every job.
sys.path.insert(0, str(SCRIPTS))
python_path = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(python_path))

from defectpool.campaign import owners
from defectpool.config import load
from defectpool.errors import DefectpoolError
from defectpool.runtime import code_digest, registry
from defectpool.runtime.hashing import content_id, shard_labels
from snakemake.exceptions import WorkflowError

if workflow.is_main_process and not workflow.output_settings.dryrun:
    if removed := owners.remove_stale_locks():
        print(removed, file=sys.stderr)
    owners.register()

# Files of the command line come last: their values win.
typed_files = list(workflow.overwrite_configfiles or [])
files = [path for path in workflow.configfiles if path not in typed_files] + typed_files
try:
    SETTINGS = load(config, files, workflow.config_settings.config)
except DefectpoolError as error:
    raise WorkflowError(str(error)) from None

# Poolings and convolutions by the words that stand for them in folders and tables.
POOLINGS = {registry.label(name): name for name in SETTINGS.poolings}
CONVOLUTIONS = {registry.label(name): name for name in SETTINGS.convolutions}

STARTED = time.strftime("%Y-%m-%dT%H:%M:%S")
SHARDS = shard_labels(SETTINGS.shards)
# Supercells that networks are tested on; all but those of the campaign only if asked for.
TESTED = list(
    dict.fromkeys([*SETTINGS.supercells, *SETTINGS.generalization.supercells])
)


wildcard_constraints:
    defect="|".join([*SETTINGS.defects, "any"]),
    supercell="|".join(TESTED),
    pooling="|".join(POOLINGS),
    convolution="|".join(CONVOLUTIONS),
    shard=r"\d+",


def settings(section, **dropped):
    """Values of a section of the config, as a rule's parameter: a change reruns the rule."""
    return getattr(SETTINGS, section).model_dump(mode="json", **dropped)


def training_settings(**changed):
    """Values of the section on training that change a result, as a rule's parameter."""
    return settings("training", exclude=set(SETTINGS.training.NEUTRAL)) | changed


def placed(path):
    """Return a path that is no input, output or log, below the `prefix` of an importing module."""
    return str(workflow.modifier.modify_path(path))


def structures_of(wildcards):
    """Return the keys that a type of defect reads: a new interstitial redoes no vacancy."""
    of_interstitials = {"interstitial", "interstitial_sites", "min_separation"}
    read = {
        "substitution": {"substitution"},
        "interstitial": of_interstitials,
        "complex": {"substitution", "complexes", *of_interstitials},
        "dense": {"substitution", "concentration", *of_interstitials},
    }
    unread = set.union(*read.values()) - read.get(wildcards.defect, set())
    if wildcards.defect in ("complex", "dense"):
        unread |= {"count"}
    unread |= {"keep_failed"}  # read by the relaxation alone
    return settings("structures", exclude=unread)


def code(script, **chosen):
    """Digest of the science that a script runs, as a parameter: a changed line reruns the rule."""
    store = Path(".snakemake/code_digests.json")
    return code_digest.digest(SCRIPTS / script, store, **chosen)


def pooling_of_run(run):
    """Return the pooling of a run as the config names it."""
    return POOLINGS[run["pooling"]]


def convolution_of_run(run):
    """Return the convolution of a run as the config names it."""
    return CONVOLUTIONS[run["convolution"]]


def code_of_training(run):
    """Digest of what a run is trained by: a change that one pooling reads retrains that pooling."""
    chosen = {"convolution": convolution_of_run(run)}
    # a class for every site reads what several poolings do
    if run["pooling"] != "sites":
        chosen["pooling"] = pooling_of_run(run)
    return code("train.py", **chosen)


# Whether a job trains all networks of a defect and supercell, or one.
TOGETHER = SETTINGS.training.entries_per_job == "all"
RUNS_IN_JOB = len(POOLINGS) * len(CONVOLUTIONS) if TOGETHER else 1


def paths_of_job(path, poolings=POOLINGS):
    """Return a path of a run as its job has it: the paths of all runs that the job trains."""
    if not TOGETHER:
        return path
    return expand(path, pooling=poolings, convolution=CONVOLUTIONS, allow_missing=True)


def values_of_job(value, poolings=POOLINGS):
    """Return a function of a run as a parameter of its job: its values for all of its runs."""
    if not TOGETHER:
        return value
    networks = list(product(poolings, CONVOLUTIONS))
    return lambda wildcards: [
        value(dict(wildcards) | {"pooling": pooling, "convolution": convolution})
        for pooling, convolution in networks
    ]


# Runs of the campaign: the rows of the table.
RUNS = [
    dict(zip(("defect", "supercell", "pooling", "convolution"), run))
    for run in product(SETTINGS.defects, SETTINGS.supercells, POOLINGS, CONVOLUTIONS)
]


def runs(**chosen):
    """Return the runs with these values; all runs by default."""
    return [run for run in RUNS if chosen.items() <= run.items()]


def runs_here(wildcards):
    """Return the runs of a defect and supercell."""
    return runs(defect=wildcards.defect, supercell=wildcards.supercell)


def outputs(name, runs, rule="train"):
    """Return one output of the training of each of these runs."""
    found = getattr(rules, rule).output[name]
    if not TOGETHER:
        return [found.format(**run) for run in runs]
    of_network = {Path(path).parts[-3:-1]: path for path in found}
    return [
        of_network[run["pooling"], run["convolution"]].format(**run) for run in runs
    ]


def with_outputs(runs, *names, rule="train"):
    """Return these runs, each with some outputs of its training: a parameter of a script."""
    return [
        run | {name: outputs(name, [run], rule)[0] for name in names} for run in runs
    ]


def shards_of(pattern, **wildcards):
    """Return all shards of structures or graphs, for these defects and supercells."""
    return expand(pattern, shard=SHARDS, **wildcards)


def graphs_of_run(wildcards):
    """Return all shards of the graphs that a run is trained on; `any`: those of all defects."""
    defect = wildcards.get("defect", "any")
    return shards_of(
        rules.build_graphs.output[0],
        defect=SETTINGS.defects if defect == "any" else defect,
        supercell=wildcards.supercell,
    )


def hosts_of_split(split):
    """Return the list of hosts where a split needs to know more of them than their graphs."""
    return [rules.use_selection.output.selected] if split == "prototype" else []


def selection_folder():
    """Return the folder of a selection, named after what it depends on: content, not paths."""
    from defectpool.materials.file_listing import check_sha256, source_digest

    materials = SETTINGS.materials
    try:
        content = source_digest(
            materials.source, materials.path, Path(".snakemake/source_checksums.json")
        )
        if content:
            check_sha256(materials.sha256, content, materials.path)
    except DefectpoolError as error:
        raise WorkflowError(str(error)) from None
    keys = settings("materials", exclude={"path", "cache", "sha256"})
    name = content_id(
        content,
        keys,
        SETTINGS.shards,
        SETTINGS.graph.radius,
        code("select_materials.py"),
    )
    return f"results/materials/selections/{name}"


def calculators():
    """Return the names of the calculators of the displacement models."""
    models = SETTINGS.structures.displacements
    return {getattr(model, "calculator", "") for model in models}


def calculator_files(names):
    """Return the calculators in files of the user's, whose content counts as code."""
    files = sorted(name for name in names if registry.file_of(name))
    return {f"calculator_{number}": name for number, name in enumerate(files)}


def path_of(section, meaning):
    """Return the path that a section gives; `scan` and `real` have none by default."""
    path = getattr(SETTINGS, section).path
    if path is None:
        raise WorkflowError(
            f"{section}.path is missing: give {meaning}, for instance --config "
            f'\'{section}={{"path": "cells"}}\''
        )
    return path


def network_name(run, among):
    """Return the name of a network on the map: its pooling, and what else tells it apart."""
    keys = ["supercell", "convolution"]
    more = [run[key] for key in keys if len({one[key] for one in among}) > 1]
    return "_".join([run["pooling"], *more])


def changed_training(axis, value):
    """Return the keys of a training that a value of an axis changes; {} where none differs."""
    key = {"train_hosts": "hosts", "split": "split"}.get(axis)
    wanted = SETTINGS.map.values(axis)[value] if key else None
    return {} if not key or getattr(SETTINGS.training, key) == wanted else {key: wanted}


def map_outputs(name, wildcards):
    """Return an output of the training of a network for each value of an axis."""
    run = MAP_NETWORKS[wildcards.network]
    return [
        (
            outputs(
                name, [run | {"axis": wildcards.axis, "value": value}], "train_for_map"
            )
            if changed_training(wildcards.axis, value)
            else outputs(name, [run])
        )[0]
        for value in SETTINGS.map.values(wildcards.axis)
    ]


def cells_of_axis(axis):
    """Return the structures of an axis."""
    relaxed = axis == "relaxation"
    made_by = rules.relax_map_cells if relaxed else rules.build_map_cells
    return made_by.output[0].format(axis=axis)


def map_cells(wildcards):
    """Return the structures that a job answers."""
    return cells_of_axis(wildcards.axis)


def relaxing():
    """Return the keys of `structures` that relax the structures of the map."""
    models = [
        {"model": "relaxed", "calculator": name} for name in SETTINGS.map.relaxation
    ]
    kept = {"displacements": models, "keep_failed": False}
    return settings("structures", include={"seed"}) | kept


def python_of(wildcards):
    """Return the Python of a baseline of the map, in an environment of its own."""
    path = SCRIPTS.parent / f".venv-{wildcards.baseline}" / "bin" / "python"
    if not path.exists():
        raise WorkflowError(
            f"map.baselines: {wildcards.baseline} has no environment yet; run "
            "`make env-baselines`, or leave it out"
        )
    return str(path)


def sites_runs(supercell):
    """Return the runs whose networks list defects: those with a class for every site."""
    found = [run for run in SITES_RUNS if run["supercell"] == supercell]
    if not found:
        raise WorkflowError(
            "poolings: networks list defects only with a class for every site; add sites"
        )
    return found


def scanned_path():
    """Return the folder that is scanned."""
    return path_of("scan", "a folder, glob or file")


def real_path():
    """Return the folder of real cells with labels."""
    return path_of("real", "a folder of extended XYZ files with labels")


def real_files(wildcards):
    """Return names, sizes and times of the real cells: another file evaluates them again."""
    found = [(path.name, path.stat()) for path in Path(real_path()).glob("*.xyz*")]
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def scanned_files(wildcards):
    """Digest of the names, sizes and times of the files: a new one lists them again."""
    from defectpool.scan import shards

    try:
        return shards.digest_of(scanned_path())
    except DefectpoolError as error:
        raise WorkflowError(str(error)) from None


def memory(factor):
    """Return a function that gives MB: more with the size of the input and with the attempt."""
    return lambda wildcards, input, attempt: int(
        (2000 + factor * input.size_mb) * attempt
    )


def memory_of_training(wildcards, input, attempt):
    """Return the MB of a training: edges beyond `training.memory` stay on disk.

    Where sites repeat each other, they are merged in memory, whatever that says.
    """
    size, limit = 20 * input.size_mb, SETTINGS.training.memory
    if limit and (SETTINGS.structures.displaced or not SETTINGS.graph.compression):
        size = min(size, 4 * input.size_mb + 2 * limit / 1e6)
    return int((2000 + size) * attempt)


def plot(name, category, label):
    """Return the files of a plot; the report shows one of them, with the caption of its name."""
    shown = report(
        f"results/plots/{name}.svg",
        caption=f"report/{name}.rst",
        category=category,
        labels={"plot": label},
    )
    return [shown, f"results/plots/{name}.png"]


def run_plot(run):
    """Return the file of the plot of a run."""
    name = "{defect}_{supercell}_{pooling}_{convolution}".format(**run)
    return f"results/plots/runs/{name}.svg"


def labels_of(run):
    """Return a run's labels in the report; only one, the pooling, can be a toggle."""
    found = {
        "structures": f"{run['defect']} {run['supercell']}",
        "pooling": run["pooling"],
    }
    several = len(CONVOLUTIONS) > 1
    return found | ({"convolution": run["convolution"]} if several else {})


def say_what_is_left_out():
    """Print how many structures of the source are used, and which defects could not be built."""
    from defectpool.materials.notes import failed_note, selection_note, skipped_note

    for note in (
        selection_note(Path("results/materials")),
        skipped_note(Path("results/structures")),
        failed_note(Path("results/relaxed")) if SETTINGS.structures.relaxes else "",
    ):
        if note:
            print(note, file=sys.stderr)


def say_efficiency():
    """Print what the jobs of each rule asked for and used, where SLURM knows it."""
    from defectpool.campaign import efficiency

    if workflow.executor_plugin.name == "slurm":
        print(f"\n{efficiency.report(STARTED, Path.cwd())}", file=sys.stderr)
