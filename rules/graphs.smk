"""Structures become crystal graphs."""


rule build_graphs:
    input:
        STRUCTURES,
    output:
        "results/graphs/{defect}/{supercell}/{shard}.h5",
    log:
        "results/logs/build_graphs/{defect}/{supercell}/{shard}.log",
    benchmark:
        "results/benchmarks/build_graphs/{defect}/{supercell}/{shard}.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        graph=settings("graph"),
        rounds=SETTINGS.network.n_convolutions,
        code=code("build_graphs.py"),
    script:
        "../scripts/build_graphs.py"
