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


rule relax_structures:
    input:
        rules.build_structures.output.structures,
    output:
        structures="results/relaxed/{defect}/{supercell}/{shard}.xyz.gz",
        skipped="results/relaxed/{defect}/{supercell}/{shard}.skipped.csv",
    log:
        "results/logs/relax_structures/{defect}/{supercell}/{shard}.log",
    benchmark:
        "results/benchmarks/relax_structures/{defect}/{supercell}/{shard}.tsv"
    conda:
        "../envs/environment.yaml"
    # One thread a shard: the same results on any number of cores.
    threads: 1
    resources:
        mem_mb=memory(20),
        runtime=lambda wildcards, input, attempt: int(
            (240 + 120 * input.size_mb) * attempt
        ),
    params:
        structures=settings(
            "structures", include={"seed", "displacements", "keep_failed"}
        ),
        # Not among the outputs, which a failed job loses: finished structures lie here.
        state=placed("results/state/relaxed/{defect}/{supercell}/{shard}"),
        code=code("relax_structures.py", **calculator_files(calculators())),
    script:
        "../scripts/relax_structures.py"


# What graphs are made from: relaxed where a displacement model needs a calculator.
STRUCTURES = (
    rules.relax_structures if SETTINGS.structures.relaxes else rules.build_structures
).output.structures


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
