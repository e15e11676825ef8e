"""Structure files of one's own become a table of the point defects in them."""


localrules:
    list_structures,
    merge_scan,


SCAN_SHARDS = shard_labels(SETTINGS.scan.shards)


rule list_structures:
    output:
        expand("results/scan/files/{shard}.csv", shard=SCAN_SHARDS),
    log:
        "results/logs/list_structures.log",
    benchmark:
        "results/benchmarks/list_structures.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        path=lambda wildcards: scanned_path(),
        files=scanned_files,
    script:
        "../scripts/list_structures.py"


rule scan_structures:
    input:
        files="results/scan/files/{shard}.csv",
        models=SETTINGS.scan.models,
    output:
        "results/scan/shards/{shard}.jsonl.gz",
    log:
        "results/logs/scan_structures/{shard}.log",
    benchmark:
        "results/benchmarks/scan_structures/{shard}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        # A list of 10,000 files has a megabyte; what is done is kept for the next attempt.
        runtime=lambda wildcards, input, attempt: int(
            (30 + 100 * input.size_mb) * attempt
        ),
    params:
        limits=settings("scan", exclude={"path", "shards", "track", "models"}),
        track=SETTINGS.scan.track,
        # Not among the outputs, which a failed job loses: what was found in each file lies here.
        state=placed("results/scan/state/{shard}.jsonl"),
        code=code("scan_structures.py"),
    script:
        "../scripts/scan_structures.py"


rule merge_scan:
    input:
        expand("results/scan/shards/{shard}.jsonl.gz", shard=SCAN_SHARDS),
    output:
        structures="results/scan/structures.csv",
        defects="results/scan/defects.csv",
        complexes="results/scan/complexes.csv",
        events="results/scan/events.csv",
        network_defects="results/scan/network_defects.csv",
        report=report(
            "results/scan/report.html",
            caption="report/scan.rst",
            category="Scan",
            labels={"page": "structures in 3D"},
        ),
    log:
        "results/logs/merge_scan.log",
    benchmark:
        "results/benchmarks/merge_scan.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        networks=bool(SETTINGS.scan.models),
        code=code("merge_scan.py"),
    script:
        "../scripts/merge_scan.py"
