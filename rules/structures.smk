"""Hosts become defective supercells and their pristine supercells."""


localrules:
    examples,


rule build_structures:
    input:
        "results/materials/hosts/{shard}.xyz",
    output:
        structures="results/structures/{defect}/{supercell}/{shard}.xyz.gz",
        skipped="results/structures/{defect}/{supercell}/{shard}.skipped.csv",
    log:
        "results/logs/build_structures/{defect}/{supercell}/{shard}.log",
    benchmark:
        "results/benchmarks/build_structures/{defect}/{supercell}/{shard}.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        structures=structures_of,
        code=code("build_structures.py"),
    script:
        "../scripts/build_structures.py"


rule examples:
    input:
        expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
    output:
        directory("results/examples"),
    log:
        "results/logs/examples.log",
    benchmark:
        "results/benchmarks/examples.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        examples=settings("examples"),
        defects=SETTINGS.defects,
        structures=settings("structures"),
        code=code("examples.py"),
    script:
        "../scripts/examples.py"
