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
    compare_detection,
    compare_defect_lists,
    list_misclassified,


wildcard_constraints:
    split="|".join(SETTINGS.generalization.splits),


# Networks for all defects at once, and for each split beside that of the table.
ANY_RUNS = [run | {"defect": "any"} for run in runs(defect=SETTINGS.defects[0])]
# A class for every site tells the types apart already.
TYPES_RUNS = [run for run in ANY_RUNS if run["pooling"] != "sites"]
SITES_RUNS = [run for run in ANY_RUNS if run["pooling"] == "sites"]
TYPES_POOLINGS = [name for name in POOLINGS if name != "sites"] or POOLINGS
OTHER_SPLITS = [
    split
    for split in SETTINGS.generalization.splits
    if split != SETTINGS.training.split
]
SPLIT_RUNS = [run | {"split": split} for split in OTHER_SPLITS for run in RUNS]
SPLIT_RUN, SPLIT_JOB = f"{{split}}/{RUN}", f"{{split}}/{JOB}"
TYPES_RUN = f"{{supercell}}/{NETWORK}"
TYPES_JOB = "{supercell}" if TOGETHER else TYPES_RUN


rule beyond:
    input:
        "results/generalization.csv",
        "results/rattle.csv",
        "results/splits.csv",
        "results/any.csv",
        "results/defect_types.csv" if TYPES_RUNS else [],
        "results/defect_lists.csv" if SITES_RUNS else [],
        "results/misclassified.csv",


rule generalize:
    input:
        graphs=graphs_of_run,
        models=lambda wildcards: outputs("model", runs(defect=wildcards.defect)),
        predictions=lambda wildcards: outputs(
            "predictions", runs(defect=wildcards.defect)
        ),
    output:
        "results/generalization/{defect}/{supercell}.csv",
    log:
        "results/logs/generalize/{defect}/{supercell}.log",
    benchmark:
        "results/benchmarks/generalize/{defect}/{supercell}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
    params:
        runs=lambda wildcards: with_outputs(
            runs(defect=wildcards.defect), "model", "predictions"
        ),
        code=code("generalize.py"),
    script:
        "../scripts/generalize.py"


rule compare_generalization:
    input:
        expand(
            rules.generalize.output[0],
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
    benchmark:
        "results/benchmarks/compare_generalization.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_generalization.py"),
    script:
        "../scripts/compare_generalization.py"


rule rattle:
    input:
        hosts=rules.use_selection.output.hosts,
        models=lambda wildcards: outputs("model", runs_here(wildcards)),
        predictions=lambda wildcards: outputs("predictions", runs_here(wildcards)),
    output:
        "results/rattle/{defect}/{supercell}.csv",
    log:
        "results/logs/rattle/{defect}/{supercell}.log",
    benchmark:
        "results/benchmarks/rattle/{defect}/{supercell}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        runs=lambda wildcards: with_outputs(
            runs_here(wildcards), "model", "predictions"
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
            rules.rattle.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        csv="results/rattle.csv",
        plot=plot("rattle", "Beyond the table", "displaced atoms"),
    log:
        "results/logs/compare_rattle.log",
    benchmark:
        "results/benchmarks/compare_rattle.tsv"
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
        model=paths_of_job(f"results/splits/{SPLIT_RUN}/model.pt"),
        history=paths_of_job(f"results/splits/{SPLIT_RUN}/history.csv"),
        predictions=paths_of_job(f"results/splits/{SPLIT_RUN}/predictions.csv"),
        audit=paths_of_job(f"results/splits/{SPLIT_RUN}/audit.json"),
    log:
        f"results/logs/train_split/{SPLIT_JOB}.log",
    benchmark:
        f"results/benchmarks/train_split/{SPLIT_JOB}.tsv"
    params:
        pooling=values_of_job(pooling_of_run),
        convolution=values_of_job(convolution_of_run),
        network=settings("network"),
        training=lambda wildcards: training_settings(split=wildcards.split),
        state=paths_of_job(placed(f"results/state/splits/{SPLIT_RUN}")),
        code=values_of_job(code_of_training),


rule compare_splits:
    input:
        outputs("predictions", runs()),
        outputs("predictions", SPLIT_RUNS, rule="train_split"),
    output:
        csv="results/splits.csv",
        plot=plot("splits", "Beyond the table", "what is held out"),
    log:
        "results/logs/compare_splits.log",
    benchmark:
        "results/benchmarks/compare_splits.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=[
            run | {"split": SETTINGS.training.split}
            for run in with_outputs(runs(), "predictions")
        ]
        + with_outputs(SPLIT_RUNS, "predictions", rule="train_split"),
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_splits.py"),
    script:
        "../scripts/compare_splits.py"


use rule train as train_defect_types with:
    input:
        graphs=graphs_of_run,
    output:
        model=paths_of_job(f"results/defect_types/{TYPES_RUN}/model.pt", TYPES_POOLINGS),
        history=paths_of_job(
            f"results/defect_types/{TYPES_RUN}/history.csv", TYPES_POOLINGS
        ),
        predictions=paths_of_job(
            f"results/defect_types/{TYPES_RUN}/predictions.csv", TYPES_POOLINGS
        ),
        audit=paths_of_job(
            f"results/defect_types/{TYPES_RUN}/audit.json", TYPES_POOLINGS
        ),
    log:
        f"results/logs/train_defect_types/{TYPES_JOB}.log",
    benchmark:
        f"results/benchmarks/train_defect_types/{TYPES_JOB}.tsv"
    params:
        defect_types=SETTINGS.defects,
        pooling=values_of_job(pooling_of_run, TYPES_POOLINGS),
        convolution=values_of_job(convolution_of_run, TYPES_POOLINGS),
        network=settings("network"),
        training=training_settings(split="formula"),
        state=paths_of_job(
            placed(f"results/state/defect_types/{TYPES_RUN}"), TYPES_POOLINGS
        ),
        code=values_of_job(code_of_training, TYPES_POOLINGS),


rule compare_defect_types:
    input:
        outputs("predictions", TYPES_RUNS, rule="train_defect_types"),
    output:
        defect_types="results/defect_types.csv",
        confusion="results/confusion.csv",
        plot=plot("confusion", "Beyond the table", "which defect it is"),
    log:
        "results/logs/compare_defect_types.log",
    benchmark:
        "results/benchmarks/compare_defect_types.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        classification=with_outputs(
            TYPES_RUNS, "predictions", rule="train_defect_types"
        ),
        defects=SETTINGS.defects,
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_defect_types.py"),
    script:
        "../scripts/compare_defect_types.py"


rule compare_detection:
    input:
        outputs("predictions", ANY_RUNS),
    output:
        "results/any.csv",
    log:
        "results/logs/compare_detection.log",
    benchmark:
        "results/benchmarks/compare_detection.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=with_outputs(ANY_RUNS, "predictions"),
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_detection.py"),
    script:
        "../scripts/compare_detection.py"


rule list_defects:
    input:
        structures=shards_of(
            STRUCTURES,
            defect="{defect}",
            supercell="{supercell}",
        ),
        models=lambda wildcards: outputs("model", sites_runs(wildcards.supercell)),
        predictions=lambda wildcards: outputs(
            "predictions", sites_runs(wildcards.supercell)
        ),
    output:
        "results/defect_lists/{defect}/{supercell}.csv",
    log:
        "results/logs/list_defects/{defect}/{supercell}.log",
    benchmark:
        "results/benchmarks/list_defects/{defect}/{supercell}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        runs=lambda wildcards: with_outputs(
            sites_runs(wildcards.supercell), "model", "predictions"
        ),
        code=code("list_defects.py"),
    script:
        "../scripts/list_defects.py"


rule compare_defect_lists:
    input:
        expand(
            rules.list_defects.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        "results/defect_lists.csv",
    log:
        "results/logs/compare_defect_lists.log",
    benchmark:
        "results/benchmarks/compare_defect_lists.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_defect_lists.py"),
    script:
        "../scripts/compare_defect_lists.py"


rule evaluate_real:
    input:
        models=outputs("model", ANY_RUNS),
        predictions=outputs("predictions", ANY_RUNS),
    output:
        "results/real.csv",
    log:
        "results/logs/evaluate_real.log",
    benchmark:
        "results/benchmarks/evaluate_real.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        path=lambda wildcards: real_path(),
        files=real_files,
        runs=with_outputs(ANY_RUNS, "model", "predictions"),
        bootstrap=SETTINGS.results.bootstrap,
        code=code("evaluate_real.py"),
    script:
        "../scripts/evaluate_real.py"


rule list_misclassified:
    input:
        predictions=outputs("predictions", runs()),
        graphs=shards_of(
            rules.build_graphs.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        "results/misclassified.csv",
    log:
        "results/logs/list_misclassified.log",
    benchmark:
        "results/benchmarks/list_misclassified.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=with_outputs(runs(), "predictions"),
        rounds=SETTINGS.network.n_convolutions,
        code=code("list_misclassified.py"),
    script:
        "../scripts/list_misclassified.py"
