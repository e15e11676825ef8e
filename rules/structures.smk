"""Hosts become defective supercells and their perfect twins."""


rule build_structures:
    input:
        "results/materials/hosts/{shard}.xyz",
    output:
        structures="results/structures/{defect}/{supercell}/{shard}.xyz.gz",
        skipped="results/structures/{defect}/{supercell}/{shard}.skipped.csv",
    log:
        "results/logs/build_structures/{defect}/{supercell}/{shard}.log",
    conda:
        "../envs/environment.yaml"
    params:
        structures=settings("structures"),
        code=code("build_structures.py"),
    script:
        "../scripts/build_structures.py"
