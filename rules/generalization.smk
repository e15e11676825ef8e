"""Beyond the table: other supercells, displaced atoms, other splits, all defects at once.

Nothing here is part of `rule all`: ask for `beyond`, or for one of its files. Add `--report` for a
report that shows them, too.
"""


localrules:
    beyond,
    compare_generalization,
    compare_rattle,
    compare_splits,
    compare_defect_types,
    list_misclassified,


wildcard_constraints:
    split="|".join(SETTINGS.generalization.splits),


# Where the trainings of each split are: those of the campaign's own are the table's.
SPLITS = {SETTINGS.training.split: "results/training"} | {
    split: f"results/splits/{split}"
    for split in SETTINGS.generalization.splits
    if split != SETTINGS.training.split
}
# Networks for all defects at once.
ANY_ENTRIES = list(product(SETTINGS.supercells, POOLINGS, CONVOLUTIONS))
SPLIT_RUN = f"{{split}}/{RUN}"
TYPES_RUN = "{supercell}/{pooling}/{convolution}"


rule beyond:
    input:
        "results/generalization.csv",
        "results/rattle.csv",
        "results/splits.csv",
        "results/defect_types.csv",
        "results/misclassified.csv",


rule generalize:
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
        "results/generalization/{defect}/{supercell}.csv",
    log:
        "results/logs/generalize/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
    params:
        entries=lambda wildcards: trained_entries(wildcards.defect, SETTINGS.supercells),
        code=code("generalize.py"),
    script:
        "../scripts/generalize.py"


rule compare_generalization:
    input:
        expand(
            "results/generalization/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=TESTED,
        ),
    output:
        csv="results/generalization.csv",
        matrix=plot(
            "generalization", "Beyond the table", "trained on one, tested on others"
        ),
        concentration=plot(
            "concentration", "Beyond the table", "accuracy by concentration"
        ),
    log:
        "results/logs/compare_generalization.log",
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_generalization.py"),
    script:
        "../scripts/compare_generalization.py"


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
        rattle=SETTINGS.generalization.rattle,
        structures=settings("structures", exclude={"rattle"}),
        graph=settings("graph"),
        rounds=SETTINGS.network.n_convolutions,
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
        graphs=graphs_of_run,
        hosts=lambda wildcards: hosts_of_split(wildcards.split),
    output:
        model=f"results/splits/{SPLIT_RUN}/model.pt",
        history=f"results/splits/{SPLIT_RUN}/history.csv",
        predictions=f"results/splits/{SPLIT_RUN}/predictions.csv",
        audit=f"results/splits/{SPLIT_RUN}/audit.json",
    log:
        f"results/logs/train_split/{SPLIT_RUN}.log",
    benchmark:
        f"results/benchmarks/train_split/{SPLIT_RUN}.tsv"
    params:
        pooling=pooling_of_run,
        convolution=convolution_of_run,
        network=settings("network"),
        training=lambda wildcards: settings("training", exclude={"device"})
        | {"split": wildcards.split},
        state=placed(f"results/state/splits/{SPLIT_RUN}"),
        code=code_of_training,


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


use rule train as train_defect_types with:
    input:
        graphs=graphs_of_run,
    output:
        model=f"results/defect_types/{TYPES_RUN}/model.pt",
        history=f"results/defect_types/{TYPES_RUN}/history.csv",
        predictions=f"results/defect_types/{TYPES_RUN}/predictions.csv",
        audit=f"results/defect_types/{TYPES_RUN}/audit.json",
    log:
        f"results/logs/train_defect_types/{TYPES_RUN}.log",
    benchmark:
        f"results/benchmarks/train_defect_types/{TYPES_RUN}.tsv"
    params:
        defect_types=SETTINGS.defects,
        pooling=pooling_of_run,
        convolution=convolution_of_run,
        network=settings("network"),
        training=settings("training", exclude={"device"}) | {"split": "formula"},
        state=placed(f"results/state/defect_types/{TYPES_RUN}"),
        code=code_of_training,


rule compare_defect_types:
    input:
        defect_types=[
            f"results/defect_types/{cell}/{pooling}/{convolution}/predictions.csv"
            for cell, pooling, convolution in ANY_ENTRIES
        ],
        any_defect=[
            f"results/training/any/{cell}/{pooling}/{convolution}/predictions.csv"
            for cell, pooling, convolution in ANY_ENTRIES
        ],
    output:
        defect_types="results/defect_types.csv",
        confusion="results/confusion.csv",
        any_defect="results/any.csv",
        plot=plot("confusion", "Beyond the table", "which defect it is"),
    log:
        "results/logs/compare_defect_types.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ANY_ENTRIES,
        defects=SETTINGS.defects,
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_defect_types.py"),
    script:
        "../scripts/compare_defect_types.py"


rule list_misclassified:
    input:
        predictions=every_entry("predictions.csv"),
        graphs=expand(
            "results/graphs/{defect}/{supercell}/{shard}.h5",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
            shard=SHARDS,
        ),
    output:
        "results/misclassified.csv",
    log:
        "results/logs/list_misclassified.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ENTRIES,
        shards=SHARDS,
        rounds=SETTINGS.network.n_convolutions,
        code=code("list_misclassified.py"),
    script:
        "../scripts/list_misclassified.py"
