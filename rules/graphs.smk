"""Structures become crystal graphs."""


rule build_graphs:
    input:
        "results/structures/{defect}/{supercell}/{shard}.xyz.gz",
    output:
        "results/graphs/{defect}/{supercell}/{shard}.h5",
    log:
        "results/logs/build_graphs/{defect}/{supercell}/{shard}.log",
    conda:
        "../envs/environment.yaml"
    params:
        graph=settings("graph"),
        rounds=SETTINGS.network.convolutions,
        code=code("build_graphs.py"),
    script:
        "../scripts/build_graphs.py"
