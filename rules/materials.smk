"""Selection of the hosts from a source of monolayers."""


# Paths are not among the parameters: where equal content is stored is no reason to select again.
rule select_materials:
    output:
        selected="results/materials/selected.csv",
        rejected="results/materials/rejected.csv",
        hosts=expand("results/materials/hosts/{shard}.xyz", shard=SHARDS),
    log:
        "results/logs/select_materials.log",
    conda:
        "../envs/environment.yaml"
    params:
        materials=settings("materials", exclude={"path", "cache", "sha256"}),
        content=source_content(),
        radius=SETTINGS.graph.radius,
        code=code("select_materials.py"),
    script:
        "../scripts/select_materials.py"
