"""Evaluation and report: predictions become the table, plots, baselines and pages.

`snakemake evidence` makes the baselines, the localization and the pages of the report;
`snakemake evidence --report results/report.zip` packs them, with the table and its plots, into one
archive for any browser, without a network.
"""

import yaml

from defectpool.reporting import published


localrules:
    make_table,
    draw_plots,
    evidence,
    gather_evidence,
    show_structures,
    write_summary,


rule make_table:
    input:
        predictions=every_entry("predictions.csv"),
        audits=every_entry("audit.json"),
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
    conda:
        "../envs/environment.yaml"
    params:
        runs=ENTRIES,
        bootstrap=SETTINGS.results.bootstrap,
        published_differences=published.differences(SETTINGS),
        code=code("make_table.py"),
    script:
        "../scripts/make_table.py"


rule draw_plots:
    input:
        table="results/table.csv",
        histories=every_entry("history.csv"),
    output:
        accuracy=plot("accuracy", "Plots", "accuracy by supercell"),
        learning=plot("learning_curves", "Plots", "learning curves"),
    log:
        "results/logs/draw_plots.log",
    conda:
        "../envs/environment.yaml"
    params:
        runs=ENTRIES,
        code=code("draw_plots.py"),
    script:
        "../scripts/draw_plots.py"


RUN_PLOTS = [str(Path("results/plots/runs", "_".join(run) + ".svg")) for run in ENTRIES]


rule evidence:
    input:
        "results/table.csv",
        "results/plots/accuracy.svg",
        "results/baselines.csv",
        "results/localization.csv",
        "results/report/structures.html",
        "results/report/summary.html",


rule score_baselines:
    input:
        graphs=graphs_of_run,
        predictions=lambda wildcards: files_trained_on("predictions.csv")(wildcards)[0],
    output:
        "results/baselines/{defect}/{supercell}.csv",
    log:
        "results/logs/score_baselines/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("score_baselines.py"),
    script:
        "../scripts/score_baselines.py"


rule locate_defects:
    input:
        graphs=graphs_of_run,
        structures=expand(
            "results/structures/{{defect}}/{{supercell}}/{shard}.xyz.gz", shard=SHARDS
        ),
        models=files_trained_on("model.pt"),
        predictions=files_trained_on("predictions.csv"),
    output:
        "results/localization/{defect}/{supercell}.csv",
    log:
        "results/logs/locate_defects/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory(20),
    params:
        runs=trained_on,
        code=code("locate_defects.py"),
    script:
        "../scripts/locate_defects.py"


rule gather_evidence:
    input:
        table="results/table.csv",
        predictions=every_entry("predictions.csv"),
        histories=every_entry("history.csv"),
        baselines=expand(
            "results/baselines/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
        located=expand(
            "results/localization/{defect}/{supercell}.csv",
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
                path,
                caption="report/run.rst",
                category="Runs",
                labels=labels_of(run),
            )
            for run, path in zip(ENTRIES, RUN_PLOTS)
        ],
    log:
        "results/logs/gather_evidence.log",
    conda:
        "../envs/environment.yaml"
    params:
        runs=ENTRIES,
        bootstrap=SETTINGS.results.bootstrap,
        code=code("gather_evidence.py"),
    script:
        "../scripts/gather_evidence.py"


rule show_structures:
    input:
        structures=expand(
            "results/structures/{defect}/{supercell}/{shard}.xyz.gz",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
            shard=SHARDS,
        ),
        located=expand(
            "results/localization/{defect}/{supercell}.csv",
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
    conda:
        "../envs/environment.yaml"
    params:
        each=2,
        code=code("show_structures.py"),
    script:
        "../scripts/show_structures.py"


rule write_summary:
    input:
        table="results/table.csv",
        comparisons="results/comparisons.csv",
        statistics="results/statistics.csv",
        baselines="results/baselines.csv",
        localization="results/localization.csv",
        rejected="results/materials/rejected.csv",
        audits=every_entry("audit.json"),
        predictions=every_entry("predictions.csv"),
        run_plots=RUN_PLOTS,
        accuracy_plot="results/plots/accuracy.svg",
        structures="results/report/structures.html",
    output:
        report(
            "results/report/summary.html",
            caption="report/summary.rst",
            category="Table",
            labels={"page": "table, runs, settings, versions, cost"},
        ),
    log:
        "results/logs/write_summary.log",
    conda:
        "../envs/environment.yaml"
    params:
        settings=yaml.safe_dump(SETTINGS.model_dump(mode="json"), sort_keys=False),
        code=code("write_summary.py"),
    script:
        "../scripts/write_summary.py"
