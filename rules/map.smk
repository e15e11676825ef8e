"""The map: which method is right where, and what it costs.

Not part of `rule all`: ask for `map`, or for one of its files. Every method answers the same
structures, one axis at a time.
"""


localrules:
    map,
    draw_map,


MAP_AXES = SETTINGS.map.axes
MAP_NETWORKS = {network_name(run, ANY_RUNS): run for run in ANY_RUNS}
MAP_METHODS = ["lattice", *MAP_NETWORKS, *SETTINGS.map.baselines]
# Networks that are trained for the map alone.
MAP_RUN, MAP_JOB = (f"{{axis}}/{{value}}/{name}" for name in (RUN, JOB))


wildcard_constraints:
    axis="|".join(MAP_AXES),
    value=r"[^/]+",
    network="|".join(MAP_NETWORKS),
    baseline="matid|soap",


rule map:
    input:
        "results/map.csv",
        "results/plots/map.svg",
        "results/map.md",
        "results/report/map.html",


rule build_map_cells:
    input:
        hosts=rules.use_selection.output.hosts,
    output:
        cells="results/map/cells/{axis}.xyz.gz",
        skipped="results/map/cells/{axis}.skipped.csv",
    log:
        "results/logs/build_map_cells/{axis}.log",
    benchmark:
        "results/benchmarks/build_map_cells/{axis}.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        defects=SETTINGS.defects,
        map=lambda wildcards: settings(
            "map", include={"hosts", "supercell", wildcards.axis}
        ),
        structures=settings("structures", exclude={"displacements", "concentration"}),
        code=code("build_map_cells.py"),
    script:
        "../scripts/build_map_cells.py"


use rule relax_structures as relax_map_cells with:
    input:
        rules.build_map_cells.output.cells,
    output:
        structures="results/map/relaxed/{axis}.xyz.gz",
        skipped="results/map/relaxed/{axis}.skipped.csv",
    log:
        "results/logs/relax_map_cells/{axis}.log",
    benchmark:
        "results/benchmarks/relax_map_cells/{axis}.tsv"
    params:
        structures=relaxing(),
        state=placed("results/state/map/{axis}"),
        code=code("relax_structures.py", **calculator_files(SETTINGS.map.relaxation)),


use rule train as train_for_map with:
    input:
        graphs=graphs_of_run,
        hosts=lambda wildcards: hosts_of_split(
            changed_training(wildcards.axis, wildcards.value).get(
                "split", SETTINGS.training.split
            )
        ),
    output:
        model=paths_of_job(f"results/map/training/{MAP_RUN}/model.pt"),
        history=paths_of_job(f"results/map/training/{MAP_RUN}/history.csv"),
        predictions=paths_of_job(f"results/map/training/{MAP_RUN}/predictions.csv"),
        audit=paths_of_job(f"results/map/training/{MAP_RUN}/audit.json"),
    log:
        f"results/logs/train_for_map/{MAP_JOB}.log",
    benchmark:
        f"results/benchmarks/train_for_map/{MAP_JOB}.tsv"
    params:
        pooling=values_of_job(pooling_of_run),
        convolution=values_of_job(convolution_of_run),
        network=settings("network"),
        training=lambda wildcards: training_settings(
            **changed_training(wildcards.axis, wildcards.value)
        ),
        state=paths_of_job(placed(f"results/state/map/{MAP_RUN}")),
        code=values_of_job(code_of_training),


rule answer_with_lattice:
    input:
        cells=map_cells,
    output:
        "results/map/answers/{axis}/lattice.csv",
    log:
        "results/logs/answer_with_lattice/{axis}.log",
    benchmark:
        "results/benchmarks/answer_with_lattice/{axis}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    params:
        code=code("answer_with_lattice.py"),
    script:
        "../scripts/answer_with_lattice.py"


rule answer_with_spglib:
    input:
        cells=map_cells,
    output:
        "results/map/answers/{axis}/spglib.csv",
    log:
        "results/logs/answer_with_spglib/{axis}.log",
    benchmark:
        "results/benchmarks/answer_with_spglib/{axis}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    params:
        code=code("answer_with_spglib.py"),
    script:
        "../scripts/answer_with_spglib.py"


rule answer_with_networks:
    input:
        cells=map_cells,
        models=lambda wildcards: map_outputs("model", wildcards),
        predictions=lambda wildcards: map_outputs("predictions", wildcards),
    output:
        "results/map/answers/{axis}/{network}.csv",
    log:
        "results/logs/answer_with_networks/{axis}/{network}.log",
    benchmark:
        "results/benchmarks/answer_with_networks/{axis}/{network}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        values=lambda wildcards: list(SETTINGS.map.values(wildcards.axis)),
        code=code("answer_with_networks.py"),
    script:
        "../scripts/answer_with_networks.py"


rule ask_baseline:
    input:
        cells=map_cells,
    output:
        "results/map/baselines/{axis}/{baseline}.csv",
    log:
        "results/logs/ask_baseline/{axis}/{baseline}.log",
    benchmark:
        "results/benchmarks/ask_baseline/{axis}/{baseline}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    params:
        python=python_of,
        script=lambda wildcards: str(
            SCRIPTS / "baselines" / f"{wildcards.baseline}_answers.py"
        ),
        code=lambda wildcards: code(f"baselines/{wildcards.baseline}_answers.py"),
    shell:
        "{params.python:q} {params.script:q} {input.cells:q} {output:q} > {log:q} 2>&1"


rule answer_with_baseline:
    input:
        cells=map_cells,
        told=rules.ask_baseline.output[0],
    output:
        "results/map/answers/{axis}/{baseline}.csv",
    log:
        "results/logs/answer_with_baseline/{axis}/{baseline}.log",
    benchmark:
        "results/benchmarks/answer_with_baseline/{axis}/{baseline}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    params:
        code=code("answer_with_baseline.py"),
    script:
        "../scripts/answer_with_baseline.py"


rule draw_map:
    input:
        answers=expand(
            "results/map/answers/{axis}/{method}.csv",
            axis=MAP_AXES,
            method=MAP_METHODS,
        ),
        audits=outputs("audit", ANY_RUNS),
    output:
        csv="results/map.csv",
        plot=plot("map", "Beyond the table", "which method is right where"),
        coverage=plot(
            "coverage", "Beyond the table", "the least certain answers withheld"
        ),
        words="results/map.md",
    log:
        "results/logs/draw_map.log",
    benchmark:
        "results/benchmarks/draw_map.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        audits={name: outputs("audit", [run])[0] for name, run in MAP_NETWORKS.items()},
        bootstrap=SETTINGS.results.bootstrap,
        code=code("draw_map.py"),
    script:
        "../scripts/draw_map.py"


rule write_map_page:
    input:
        answers=rules.draw_map.input.answers,
        cells=[cells_of_axis(axis) for axis in MAP_AXES],
        relaxed=(
            shards_of(
                STRUCTURES, defect=SETTINGS.defects, supercell=SETTINGS.supercells
            )
            if SETTINGS.structures.relaxes
            else []
        ),
        networks=[outputs(name, ANY_RUNS) for name in ("model", "predictions", "audit")],
        table=rules.draw_map.output.csv,
        plot=rules.draw_map.output.plot[0],
        coverage_plot=rules.draw_map.output.coverage[0],
    output:
        report(
            "results/report/map.html",
            caption="report/map_page.rst",
            category="Beyond the table",
            labels={"plot": "the map, what is called what, found defects, mistakes"},
        ),
    log:
        "results/logs/write_map_page.log",
    benchmark:
        "results/benchmarks/write_map_page.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        runs={
            name: with_outputs([run], "model", "predictions", "audit")[0]
            for name, run in MAP_NETWORKS.items()
        },
        bootstrap=SETTINGS.results.bootstrap,
        code=code("write_map_page.py"),
    script:
        "../scripts/write_map_page.py"
