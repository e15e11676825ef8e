"""Messages before, during and after a campaign, and the estimate of its cost."""

import shlex
import sys

from defectpool.campaign import checks, previous, progress
from snakemake.logging import logger


localrules:
    plan,


rule plan:
    log:
        "results/logs/plan.log",
    conda:
        "../envs/environment.yaml"
    params:
        config=SETTINGS.model_dump(mode="json"),
    script:
        "../scripts/plan.py"


TRAINING_RULES = {"train", "train_split", "train_defect_types", "train_for_map"}

# Results that a run replaces are kept here until it has succeeded.
PREVIOUS = Path("results/previous", STARTED.replace(":", "-"))

# One line a job. Snakemake's own messages return with --verbose, --printshellcmds or --dry-run.
# A workflow that imports these rules keeps its own messages.
if workflow.is_main_process and not (
    workflow.modifier.parent_modifier
    or workflow.output_settings.dryrun
    or workflow.output_settings.verbose
    or workflow.output_settings.printshellcmds
    or workflow.output_settings.quiet
):
    progress.install(logger)


onstart:
    jobs = list(workflow.dag.needrun_jobs())
    needed = {job.rule.name for job in jobs}
    if "train" in needed and not needed & {"select_materials", "use_selection"}:
        problem = checks.too_few_groups(
            Path(rules.use_selection.output.selected),
            SETTINGS.training.folds,
            SETTINGS.training.split,
        )
        if problem:
            raise WorkflowError(problem)
    try:
        previous.keep((file for job in jobs for file in job.output), PREVIOUS)
    except OSError as error:  # a full disk
        raise WorkflowError(
            f"{PREVIOUS}: previous results cannot be kept ({error.strerror})"
        )
    if needed & TRAINING_RULES:
        print(
            f"{len(RUNS)} runs: {', '.join(SETTINGS.defects)}; "
            f"{', '.join(SETTINGS.supercells)}; {', '.join(SETTINGS.poolings)}; "
            f"{', '.join(SETTINGS.convolutions)}.",
            file=sys.stderr,
        )
    print(
        "Results are written to results/, logs to results/logs/. If the run is interrupted, "
        "type the same command again.\n"
        "Why each job runs: snakemake --dry-run, or the complete log named at the end.",
        file=sys.stderr,
    )


onsuccess:
    previous.discard_replaced(PREVIOUS.parent)
    say_efficiency()
    made = [
        path
        for path in ("table.csv", "table.md", "plots")
        if Path("results", path).exists()
    ]
    if made:
        print(f"There are {', '.join(made)} in results/.", file=sys.stderr)
    say_what_is_left_out()


onerror:
    from defectpool.campaign import failures

    say_efficiency()
    # Snakemake 9 hands over a list of log files
    text = "".join(Path(path).read_text() for path in log)
    found = failures.failures(text)
    command = shlex.join(["snakemake", *sys.argv[1:]])
    state = Path("results/state").is_dir()
    print(f"\n{failures.describe(found, command, state)}\n", file=sys.stderr)
    if kept := previous.note(PREVIOUS):
        print(kept, file=sys.stderr)
