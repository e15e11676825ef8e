"""Selection of the hosts from a source of monolayers."""

SELECTION = selection_folder()


localrules:
    use_selection,


# Snakemake deletes the outputs of a job that fails. Each selection has a folder of its own, so
# that one that fails leaves the hosts of the last one in place.
rule select_materials:
    output:
        selected=f"{SELECTION}/selected.csv",
        rejected=f"{SELECTION}/rejected.csv",
        hosts=expand(f"{SELECTION}/hosts/{{shard}}.xyz", shard=SHARDS),
    log:
        "results/logs/select_materials.log",
    benchmark:
        "results/benchmarks/select_materials.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        radius=SETTINGS.graph.radius,
    script:
        "../scripts/select_materials.py"


rule use_selection:
    input:
        rules.select_materials.output,
    output:
        selected="results/materials/selected.csv",
        rejected="results/materials/rejected.csv",
        hosts=expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
    log:
        "results/logs/use_selection.log",
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/use_selection.py"
