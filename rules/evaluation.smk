"""Evaluation and report: predictions become the table, plots, baselines and pages.

`snakemake evidence` makes the baselines, the localization and the pages of the report;
`snakemake evidence --report results/report.zip` packs them, with the table and its plots, into one
archive for any browser, without a network.
"""

import yaml

from defectpool.reporting import published

# Whether atoms are displaced by a model in any structure.
DISPLACED = SETTINGS.structures.displacements != ["none"]


localrules:
    make_table,
    draw_plots,
    evidence,
    gather_evidence,
    plot_bonds,
    plot_displacements,
    show_structures,
    write_summary,


rule make_table:
    input:
        predictions=outputs("predictions", runs()),
        audits=outputs("audit", runs()),
    output:
        csv=report(
            "results/table.csv",
            caption="report/table.rst",
            category="Tables as files",
            labels={"file": "table.csv"},
        ),
        markdown="results/table.md",
        statistics=report(
            "results/statistics.csv",
            caption="report/statistics.rst",
            category="Tables as files",
            labels={"file": "statistics.csv"},
        ),
        comparisons=report(
            "results/comparisons.csv",
            caption="report/comparisons.rst",
            category="Tables as files",
            labels={"file": "comparisons.csv"},
        ),
    log:
        "results/logs/make_table.log",
    benchmark:
        "results/benchmarks/make_table.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=with_outputs(runs(), "predictions", "audit"),
        bootstrap=SETTINGS.results.bootstrap,
        published_differences=published.differences(SETTINGS),
        code=code("make_table.py"),
    script:
        "../scripts/make_table.py"


rule draw_plots:
    input:
        table=rules.make_table.output.csv,
        histories=outputs("history", runs()),
    output:
        accuracy=plot("accuracy", "Plots", "accuracy by supercell"),
        learning=plot("learning_curves", "Plots", "learning curves"),
    log:
        "results/logs/draw_plots.log",
    benchmark:
        "results/benchmarks/draw_plots.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=with_outputs(runs(), "history"),
        code=code("draw_plots.py"),
    script:
        "../scripts/draw_plots.py"


rule evidence:
    input:
        "results/table.csv",
        "results/plots/accuracy.svg",
        "results/baselines.csv",
        "results/localization.csv",
        "results/report/structures.html",
        "results/report/summary.html",
        "results/plots/displacements.svg" if DISPLACED else [],


rule plot_displacements:
    input:
        shards_of(STRUCTURES, defect=SETTINGS.defects, supercell=SETTINGS.supercells),
    output:
        plot("displacements", "Plots", "displaced atoms of the structures"),
    log:
        "results/logs/plot_displacements.log",
    benchmark:
        "results/benchmarks/plot_displacements.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        code=code("plot_displacements.py"),
    script:
        "../scripts/plot_displacements.py"


rule plot_bonds:
    output:
        plot("bonds", "Plots", "spread of bonds against trajectories"),
    log:
        "results/logs/plot_bonds.log",
    benchmark:
        "results/benchmarks/plot_bonds.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        path=lambda wildcards: real_path(),
        files=real_files,
        code=code("plot_bonds.py"),
    script:
        "../scripts/plot_bonds.py"


rule score_baselines:
    input:
        graphs=graphs_of_run,
        hosts=hosts_of_split(SETTINGS.training.split),
        structures=shards_of(
            STRUCTURES,
            defect="{defect}",
            supercell="{supercell}",
        ),
        predictions=lambda wildcards: outputs("predictions", runs_here(wildcards))[0],
    output:
        "results/baselines/{defect}/{supercell}.csv",
    log:
        "results/logs/score_baselines/{defect}/{supercell}.log",
    benchmark:
        "results/benchmarks/score_baselines/{defect}/{supercell}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    params:
        bootstrap=SETTINGS.results.bootstrap,
        training=training_settings(),
        code=code("score_baselines.py"),
    script:
        "../scripts/score_baselines.py"


rule locate_defects:
    input:
        graphs=graphs_of_run,
        structures=shards_of(
            STRUCTURES,
            defect="{defect}",
            supercell="{supercell}",
        ),
        models=lambda wildcards: outputs("model", runs_here(wildcards)),
        predictions=lambda wildcards: outputs("predictions", runs_here(wildcards)),
    output:
        "results/localization/{defect}/{supercell}.csv",
    log:
        "results/logs/locate_defects/{defect}/{supercell}.log",
    benchmark:
        "results/benchmarks/locate_defects/{defect}/{supercell}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
    params:
        runs=lambda wildcards: with_outputs(
            runs_here(wildcards), "model", "predictions"
        ),
        code=code("locate_defects.py"),
    script:
        "../scripts/locate_defects.py"


rule gather_evidence:
    input:
        table=rules.make_table.output.csv,
        predictions=outputs("predictions", runs()),
        histories=outputs("history", runs()),
        baselines=expand(
            rules.score_baselines.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
        located=expand(
            rules.locate_defects.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        baselines=report(
            "results/baselines.csv",
            caption="report/baselines.rst",
            category="Tables as files",
            labels={"file": "baselines.csv"},
        ),
        localization=report(
            "results/localization.csv",
            caption="report/localization.rst",
            category="Tables as files",
            labels={"file": "localization.csv"},
        ),
        calibration=plot("calibration", "Plots", "calibration"),
        distances=plot("distance_to_defect", "Localization", "distance to the defect"),
        cost=plot("cost", "Plots", "cost"),
        runs=[
            report(
                run_plot(run),
                caption="report/run.rst",
                category="Runs",
                labels=labels_of(run),
            )
            for run in runs()
        ],
    log:
        "results/logs/gather_evidence.log",
    benchmark:
        "results/benchmarks/gather_evidence.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        runs=[
            run | {"plot": run_plot(run)}
            for run in with_outputs(runs(), "predictions", "history")
        ],
        bootstrap=SETTINGS.results.bootstrap,
        code=code("gather_evidence.py"),
    script:
        "../scripts/gather_evidence.py"


rule show_structures:
    input:
        structures=shards_of(
            STRUCTURES,
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
        located=expand(
            rules.locate_defects.output[0],
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        report(
            "results/report/structures.html",
            caption="report/structures.rst",
            category="Localization",
            labels={"plot": "structures in 3D"},
        ),
    log:
        "results/logs/show_structures.log",
    benchmark:
        "results/benchmarks/show_structures.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        each=2,
        code=code("show_structures.py"),
    script:
        "../scripts/show_structures.py"


rule write_summary:
    input:
        table=rules.make_table.output.csv,
        comparisons=rules.make_table.output.comparisons,
        statistics=rules.make_table.output.statistics,
        baselines=rules.gather_evidence.output.baselines,
        localization=rules.gather_evidence.output.localization,
        rejected=rules.use_selection.output.rejected,
        audits=outputs("audit", runs()),
        predictions=outputs("predictions", runs()),
        run_plots=[run_plot(run) for run in runs()],
        accuracy_plot="results/plots/accuracy.svg",
        structures=rules.show_structures.output[0],
    output:
        report(
            "results/report/summary.html",
            caption="report/summary.rst",
            category="Table",
            labels={"page": "table, runs, settings, versions, cost"},
        ),
    log:
        "results/logs/write_summary.log",
    benchmark:
        "results/benchmarks/write_summary.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        settings=yaml.safe_dump(SETTINGS.model_dump(mode="json"), sort_keys=False),
        code=code("write_summary.py"),
    script:
        "../scripts/write_summary.py"
