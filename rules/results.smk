"""Predictions become the table and the plots."""


localrules:
    make_table,
    draw_plots,


rule make_table:
    input:
        predictions=every_entry("predictions.csv"),
        audits=every_entry("audit.json"),
    output:
        csv=report(
            "results/table.csv",
            caption="report/table.rst",
            category="Figures as files",
            labels={"file": "table.csv"},
        ),
        markdown="results/table.md",
        statistics=report(
            "results/statistics.csv",
            caption="report/statistics.rst",
            category="Figures as files",
            labels={"file": "statistics.csv"},
        ),
        comparisons=report(
            "results/comparisons.csv",
            caption="report/comparisons.rst",
            category="Figures as files",
            labels={"file": "comparisons.csv"},
        ),
    log:
        "results/logs/make_table.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ENTRIES,
        results=settings("results", include={"bootstrap"}),
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
        entries=ENTRIES,
        code=code("draw_plots.py"),
    script:
        "../scripts/draw_plots.py"
