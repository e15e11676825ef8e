"""Beyond the table: other supercells, displaced atoms, other splits, all defects at once.

Nothing here is part of `rule all`: ask for `beyond`, or for one of its files. Add `--report` for a
report that shows them, too.
"""


localrules:
    beyond,
    compare_transfer,
    compare_rattle,
    compare_splits,
    compare_which,
    list_errors,


wildcard_constraints:
    split="|".join(SETTINGS.results.splits),


# Where the trainings of each split are: those of the campaign's own are the table's.
SPLITS = {SETTINGS.training.split: "results/training"} | {
    split: f"results/splits/{split}"
    for split in SETTINGS.results.splits
    if split != SETTINGS.training.split
}
# Entries of networks for all defects at once.
ANY_ENTRIES = list(
    product(SETTINGS.supercells, SETTINGS.poolings, SETTINGS.convolutions)
)
PLACE = "{split}/{defect}/{supercell}/{pooling}/{convolution}"


rule beyond:
    input:
        "results/transfer.csv",
        "results/rattle.csv",
        "results/splits.csv",
        "results/which.csv",
        "results/errors.csv",


rule transfer:
    input:
        graphs=expand(
            "results/graphs/{{defect}}/{{supercell}}/{shard}.h5", shard=SHARDS
        ),
        models=lambda wildcards: files_of(
            trained_entries(wildcards.defect, SETTINGS.supercells), "model.pt"
        ),
        predictions=lambda wildcards: files_of(
            trained_entries(wildcards.defect, SETTINGS.supercells), "predictions.csv"
        ),
    output:
        "results/transfer/{defect}/{supercell}.csv",
    log:
        "results/logs/transfer/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
    params:
        entries=lambda wildcards: trained_entries(wildcards.defect, SETTINGS.supercells),
        code=code("transfer.py"),
    script:
        "../scripts/transfer.py"


rule compare_transfer:
    input:
        expand(
            "results/transfer/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=TESTED,
        ),
    output:
        csv="results/transfer.csv",
        matrix=plot("transfer", "Beyond the table", "trained on one, tested on others"),
        concentration=plot(
            "concentration", "Beyond the table", "accuracy by concentration"
        ),
    log:
        "results/logs/compare_transfer.log",
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_transfer.py"),
    script:
        "../scripts/compare_transfer.py"


rule rattle:
    input:
        hosts=expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
        models=lambda wildcards: files_of(
            trained_entries(wildcards.defect, [wildcards.supercell]), "model.pt"
        ),
        predictions=lambda wildcards: files_of(
            trained_entries(wildcards.defect, [wildcards.supercell]), "predictions.csv"
        ),
    output:
        "results/rattle/{defect}/{supercell}.csv",
    log:
        "results/logs/rattle/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        entries=lambda wildcards: trained_entries(
            wildcards.defect, [wildcards.supercell]
        ),
        rattle=SETTINGS.results.test_rattle,
        structures=settings("structures", exclude={"rattle"}),
        graph=settings("graph"),
        rounds=SETTINGS.network.convolutions,
        code=code("rattle.py"),
    script:
        "../scripts/rattle.py"


rule compare_rattle:
    input:
        expand(
            "results/rattle/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        csv="results/rattle.csv",
        plot=plot("rattle", "Beyond the table", "displaced atoms"),
    log:
        "results/logs/compare_rattle.log",
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_rattle.py"),
    script:
        "../scripts/compare_rattle.py"


use rule train as train_split with:
    input:
        graphs=graphs_of_entry,
        hosts=lambda wildcards: hosts_of_split(wildcards.split),
    output:
        model=f"results/splits/{PLACE}/model.pt",
        history=f"results/splits/{PLACE}/history.csv",
        predictions=f"results/splits/{PLACE}/predictions.csv",
        audit=f"results/splits/{PLACE}/audit.json",
    log:
        f"results/logs/train_split/{PLACE}.log",
    params:
        network=settings("network"),
        training=lambda wildcards: settings("training", exclude={"device"})
        | {"split": wildcards.split},
        state=f"results/state/splits/{PLACE}",
        code=code("train.py"),


rule compare_splits:
    input:
        [
            str(Path(where, *entry, "predictions.csv"))
            for where in SPLITS.values()
            for entry in ENTRIES
        ],
    output:
        csv="results/splits.csv",
        plot=plot("splits", "Beyond the table", "what is held out"),
    log:
        "results/logs/compare_splits.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=[(split, *entry) for split in SPLITS for entry in ENTRIES],
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_splits.py"),
    script:
        "../scripts/compare_splits.py"


rule which:
    input:
        graphs_of_entry,
    output:
        "results/which/{supercell}/{pooling}/{convolution}.csv",
    log:
        "results/logs/which/{supercell}/{pooling}/{convolution}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        defects=SETTINGS.defects,
        network=settings("network"),
        training=settings("training", exclude={"device", "split"}),
        code=code("which.py"),
    script:
        "../scripts/which.py"


rule compare_which:
    input:
        which=[
            f"results/which/{cell}/{pooling}/{convolution}.csv"
            for cell, pooling, convolution in ANY_ENTRIES
        ],
        any_defect=[
            f"results/training/any/{cell}/{pooling}/{convolution}/predictions.csv"
            for cell, pooling, convolution in ANY_ENTRIES
        ],
    output:
        which="results/which.csv",
        confusion="results/confusion.csv",
        any_defect="results/any.csv",
        plot=plot("confusion", "Beyond the table", "which defect it is"),
    log:
        "results/logs/compare_which.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ANY_ENTRIES,
        defects=SETTINGS.defects,
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_which.py"),
    script:
        "../scripts/compare_which.py"


rule list_errors:
    input:
        predictions=every_entry("predictions.csv"),
        graphs=expand(
            "results/graphs/{defect}/{supercell}/{shard}.h5",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
            shard=SHARDS,
        ),
    output:
        "results/errors.csv",
    log:
        "results/logs/list_errors.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ENTRIES,
        shards=SHARDS,
        rounds=SETTINGS.network.convolutions,
        code=code("list_errors.py"),
    script:
        "../scripts/list_errors.py"
