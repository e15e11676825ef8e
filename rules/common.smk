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

if workflow.is_main_process and (removed := owners.remove_stale_locks()):
    print(removed, file=sys.stderr)

try:
    SETTINGS = load(config, workflow.configfiles)
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


def placed(path):
    """Return a path that is no input, output or log, below the `prefix` of an importing module."""
    return str(workflow.modifier.modify_path(path))


def structures_of(wildcards):
    """Return the keys that a type of defect reads: a new interstitial redoes no vacancy."""
    unread = {"substitution", "interstitial", "interstitial_sites", "min_separation"}
    if wildcards.defect == "substitution":
        unread -= {"substitution"}
    elif wildcards.defect == "interstitial":
        unread = {"substitution"}
    return settings("structures", exclude=unread)


def code(script, **chosen):
    """Digest of the science that a script runs, as a parameter: a changed line reruns the rule."""
    return code_digest.digest(SCRIPTS / script, **chosen)


def pooling_of_run(wildcards):
    """Return the pooling of a run as the config names it."""
    return POOLINGS[wildcards.pooling]


def convolution_of_run(wildcards):
    """Return the convolution of a run as the config names it."""
    return CONVOLUTIONS[wildcards.convolution]


def code_of_training(wildcards):
    """Digest of what a run is trained by: a change that one pooling reads retrains that pooling."""
    return code(
        "train.py",
        pooling=pooling_of_run(wildcards),
        convolution=convolution_of_run(wildcards),
    )


ENTRIES = list(product(SETTINGS.defects, SETTINGS.supercells, POOLINGS, CONVOLUTIONS))


def every_entry(name):
    """Return one file of the training of each entry of the table."""
    return [str(Path("results/training", *entry, name)) for entry in ENTRIES]


def graphs_of_run(wildcards):
    """Return all shards of the graphs that an entry is trained on; `any`: those of all defects."""
    defect = wildcards.get("defect", "any")
    return expand(
        "results/graphs/{defect}/{supercell}/{shard}.h5",
        defect=SETTINGS.defects if defect == "any" else defect,
        supercell=wildcards.supercell,
        shard=SHARDS,
    )


def hosts_of_split(split):
    """Return the list of hosts where a split needs to know more of them than their graphs."""
    return ["results/materials/selected.csv"] if split == "prototype" else []


def trained_entries(defect, supercells):
    """Return entries of the table as marks of their rows: what was trained on what."""
    return [
        dict(zip(("defect", "trained", "pooling", "convolution"), entry))
        for entry in product([defect], supercells, POOLINGS, CONVOLUTIONS)
    ]


def files_of(entries, name):
    """Return one file of the training of each of these entries."""
    return [str(Path("results/training", *entry.values(), name)) for entry in entries]


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


def memory(factor):
    """Return a function that gives MB: more with the size of the input and with the attempt."""
    return lambda wildcards, input, attempt: int(
        (2000 + factor * input.size_mb) * attempt
    )


def plot(name, category, label):
    """Return the files of a plot; the report shows one of them, with the caption of its name."""
    shown = report(
        f"results/plots/{name}.svg",
        caption=f"report/{name}.rst",
        category=category,
        labels={"plot": label},
    )
    return [shown, f"results/plots/{name}.png"]


def trained_on(wildcards):
    """Return the entries that were trained on a defect and supercell."""
    return [
        entry
        for entry in ENTRIES
        if entry[:2] == (wildcards.defect, wildcards.supercell)
    ]


def files_trained_on(name):
    """Return a function that gives one file of each of these entries."""
    return lambda wildcards: [
        str(Path("results/training", *entry, name)) for entry in trained_on(wildcards)
    ]


def labels_of(entry):
    """Return an entry's labels in the report; only one, the pooling, can be a toggle."""
    defect, supercell, pooling, convolution = entry
    found = {"structures": f"{defect} {supercell}", "pooling": pooling}
    return found | (
        {"convolution": convolution} if len(SETTINGS.convolutions) > 1 else {}
    )


def say_what_is_left_out():
    """Print how many structures of the source are used, and which defects could not be built."""
    from defectpool.materials.notes import selection_note, skipped_note

    for note in (
        selection_note(Path("results/materials")),
        skipped_note(Path("results/structures")),
    ):
        if note:
            print(note, file=sys.stderr)


def say_efficiency():
    """Print what the jobs of each rule asked for and used, where SLURM knows it."""
    from defectpool.campaign import efficiency

    if workflow.executor_plugin.name == "slurm":
        print(f"\n{efficiency.report(STARTED, Path.cwd())}", file=sys.stderr)
