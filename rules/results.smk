"""Predictions become the table and the plots."""


localrules:
    make_table,
    draw_plots,


rule make_table:
    input:
        predictions=every_entry(rules.train.output.predictions),
        audits=every_entry(rules.train.output.audit),
    output:
        csv="results/table.csv",
        markdown="results/table.md",
    log:
        "results/logs/make_table.log",
    params:
        results=settings("results"),
        code=code("make_table.py"),
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/make_table.py"


rule draw_plots:
    input:
        table="results/table.csv",
        histories=every_entry(rules.train.output.history),
    output:
        accuracy=multiext("results/plots/accuracy", ".svg", ".png"),
        learning=multiext("results/plots/learning_curves", ".svg", ".png"),
    log:
        "results/logs/draw_plots.log",
    params:
        code=code("draw_plots.py"),
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/draw_plots.py"
