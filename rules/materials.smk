"""A source of monolayers becomes numbered, checked hosts in shards."""


rule select_materials:
    input:
        source_files(),
    output:
        selected="results/materials/selected.csv",
        rejected="results/materials/rejected.csv",
        hosts=expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
    log:
        "results/logs/select_materials.log",
    conda:
        "../envs/environment.yaml"
    params:
        materials=settings("materials"),
        radius=SETTINGS.graph.radius,
        code=code("select_materials.py"),
    script:
        "../scripts/select_materials.py"
