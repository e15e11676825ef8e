"""What it costs to plan the campaign over all of C2DB: seconds and memory of a dry run."""

import csv
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
materials: {source: optimade}
supercells: [2x2, 4x4, 6x6, 8x8, 12x12]
shards: 64
"""


def main() -> None:
    """Measure one dry run, and write results/benchmarks/dry_run.csv."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(CONFIG)
        config.flush()
        done = subprocess.run(
            ["snakemake", "-n", "--profile", "profiles/slurm", "--configfile", config.name],
            cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = re.search(r"^total +(\d+)$", done.stdout + done.stderr, flags=re.M)
    row = {
        "jobs": jobs[1] if jobs else "",
        "seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "mebibytes": usage.ru_maxrss // 1024,
    }
    path = ROOT / "results/benchmarks/dry_run.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    print(
        "dry run of the campaign over all of C2DB:", ", ".join(f"{v} {k}" for k, v in row.items())
    )


if __name__ == "__main__":
    main()
