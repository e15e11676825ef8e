"""Beyond the table: trained networks on other supercells and on displaced atoms.

Nothing here is part of `rule all`: ask for `results/transfer.csv` or `results/rattle.csv`.
"""


localrules:
    compare_transfer,
    compare_rattle,


def trained_entries(defect, supercells):
    """Return entries of the table as marks of their rows: what was trained on what."""
    return [
        dict(zip(("defect", "trained", "pooling", "convolution"), entry))
        for entry in product(
            [defect], supercells, SETTINGS.poolings, SETTINGS.convolutions
        )
    ]


def files_of(entries, name):
    """Return one file of the training of each of these entries."""
    return [str(Path("results/training", *entry.values(), name)) for entry in entries]


rule transfer:
    input:
        graphs=expand(
            "results/graphs/{{defect}}/{{supercell}}/{shard}.h5", shard=SHARDS
        ),
        models=lambda wildcards: files_of(
            trained_entries(wildcards.defect, SETTINGS.supercells), "model.pt"
        ),
        predictions=lambda wildcards: files_of(
            trained_entries(wildcards.defect, SETTINGS.supercells), "predictions.csv"
        ),
    output:
        "results/transfer/{defect}/{supercell}.csv",
    log:
        "results/logs/transfer/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (2000 + 20 * input.size_mb) * attempt
        ),
    params:
        entries=lambda wildcards: trained_entries(wildcards.defect, SETTINGS.supercells),
        code=code("transfer.py"),
    script:
        "../scripts/transfer.py"


rule compare_transfer:
    input:
        expand(
            "results/transfer/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=TESTED,
        ),
    output:
        csv="results/transfer.csv",
        matrix=multiext("results/plots/transfer", ".svg", ".png"),
        concentration=multiext("results/plots/concentration", ".svg", ".png"),
    log:
        "results/logs/compare_transfer.log",
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_transfer.py"),
    script:
        "../scripts/compare_transfer.py"


rule rattle:
    input:
        hosts=expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
        models=lambda wildcards: files_of(
            trained_entries(wildcards.defect, [wildcards.supercell]), "model.pt"
        ),
        predictions=lambda wildcards: files_of(
            trained_entries(wildcards.defect, [wildcards.supercell]), "predictions.csv"
        ),
    output:
        "results/rattle/{defect}/{supercell}.csv",
    log:
        "results/logs/rattle/{defect}/{supercell}.log",
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        entries=lambda wildcards: trained_entries(
            wildcards.defect, [wildcards.supercell]
        ),
        rattle=SETTINGS.results.test_rattle,
        structures=settings("structures", exclude={"rattle"}),
        graph=settings("graph"),
        rounds=SETTINGS.network.convolutions,
        code=code("rattle.py"),
    script:
        "../scripts/rattle.py"


rule compare_rattle:
    input:
        expand(
            "results/rattle/{defect}/{supercell}.csv",
            defect=SETTINGS.defects,
            supercell=SETTINGS.supercells,
        ),
    output:
        csv="results/rattle.csv",
        plot=multiext("results/plots/rattle", ".svg", ".png"),
    log:
        "results/logs/compare_rattle.log",
    conda:
        "../envs/environment.yaml"
    params:
        bootstrap=SETTINGS.results.bootstrap,
        code=code("compare_rattle.py"),
    script:
        "../scripts/compare_rattle.py"
