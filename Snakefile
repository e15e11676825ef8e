"""defectpool: from two-dimensional crystals to the mean-against-max table."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "rules/report/workflow.rst"


include: "rules/common.smk"
include: "rules/materials.smk"
include: "rules/structures.smk"
include: "rules/graphs.smk"
include: "rules/training.smk"
include: "rules/results.smk"
include: "rules/campaign.smk"
include: "rules/beyond.smk"
include: "rules/evidence.smk"
include: "rules/scan.smk"


rule all:
    default_target: True
    input:
        "results/table.csv",
        "results/table.md",
        "results/plots/accuracy.svg",
        "results/plots/learning_curves.svg",
