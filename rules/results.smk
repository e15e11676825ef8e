"""Predictions become the table and the plots."""


localrules:
    make_table,
    draw_plots,


rule make_table:
    input:
        predictions=every_entry("predictions.csv"),
        audits=every_entry("audit.json"),
    output:
        csv="results/table.csv",
        markdown="results/table.md",
        statistics="results/statistics.csv",
        comparisons="results/comparisons.csv",
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
        accuracy=multiext("results/plots/accuracy", ".svg", ".png"),
        learning=multiext("results/plots/learning_curves", ".svg", ".png"),
    log:
        "results/logs/draw_plots.log",
    conda:
        "../envs/environment.yaml"
    params:
        entries=ENTRIES,
        code=code("draw_plots.py"),
    script:
        "../scripts/draw_plots.py"
