"""Structures become crystal graphs."""


rule build_graphs:
    input:
        "results/structures/{defect}/{supercell}/{shard}.xyz.gz",
    output:
        "results/graphs/{defect}/{supercell}/{shard}.h5",
    log:
        "results/logs/build_graphs/{defect}/{supercell}/{shard}.log",
    params:
        graph=settings("graph"),
        rounds=SETTINGS.network.convolutions,
        code=code("build_graphs.py"),
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/build_graphs.py"
