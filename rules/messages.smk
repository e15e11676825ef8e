"""What is said before, after and instead of a campaign."""

import shlex
import sys


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


onstart:
    print(
        f"{len(ENTRIES)} entries of the table: {', '.join(SETTINGS.defects)}; "
        f"{', '.join(SETTINGS.supercells)}; {', '.join(SETTINGS.poolings)}; "
        f"{', '.join(SETTINGS.convolutions)}.\n"
        "Results go to results/, logs to results/logs/. Whenever it is interrupted, the same "
        "command goes on.",
        file=sys.stderr,
    )


onsuccess:
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
    said = "".join(Path(path).read_text() for path in log)
    found = failures.failures(said)
    command = shlex.join(["snakemake", *sys.argv[1:]])
    print(f"\n{failures.describe(found, command)}\n", file=sys.stderr)
