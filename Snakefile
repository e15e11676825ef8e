"""defectpool: from two-dimensional crystals to the mean-against-max table."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


# A working directory of its own (--directory) has none; the defaults are then those of the types.
if Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


report: "rules/report/workflow.rst"


include: "rules/common.smk"
include: "rules/materials.smk"
include: "rules/structures.smk"
include: "rules/graphs.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/generalization.smk"
include: "rules/map.smk"
include: "rules/scan.smk"
include: "rules/messages.smk"


rule all:
    default_target: True
    input:
        rules.make_table.output,
        rules.draw_plots.output,
        # networks and histories, too: one that was lost is made again
        outputs("model", runs()),
        outputs("history", runs()),
