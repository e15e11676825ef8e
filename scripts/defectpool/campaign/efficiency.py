"""Efficiency of a campaign's jobs on SLURM: requested and used time, cores and memory."""

import os
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

FIELDS = (
    "JobIDRaw", "State", "ElapsedRaw", "TimelimitRaw", "TotalCPU", "NCPUS", "ReqMem", "MaxRSS",
    "AllocTRES", "WorkDir", "SubmitLine",
)  # fmt: skip
_UNITS = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


@dataclass
class Use:
    """Requested and used resources of all jobs of a rule.

    Attributes
    ----------
    jobs, failed
        Jobs that ran, and those that did not complete.
    asked_seconds, used_seconds, cpu_seconds
        Time limits, wall time, and processor time, each summed over the jobs.
    cores_seconds, gpu_seconds
        Wall time times allotted cores, and times GPUs.
    asked_mib, used_mib
        Memory of the most demanding job in MiB: asked for, and the most that a process used.
    """

    jobs: int = 0
    failed: int = 0
    asked_seconds: float = 0.0
    used_seconds: float = 0.0
    cpu_seconds: float = 0.0
    cores_seconds: float = 0.0
    gpu_seconds: float = 0.0
    asked_mib: float = 0.0
    used_mib: float = 0.0


def mebibytes(text: str) -> float:
    """Return a size as sacct writes it (1000M, 2.5G, 137284K) in MiB."""
    found = re.match(r"([\d.]+)([KMGT]?)", text)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def seconds(text: str) -> float:
    """Return a time as sacct writes it (1-02:03:04, 02:03.456) in seconds."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":") if clock else ():
        total = 60 * total + float(part)
    return total + 86400 * int(days or 0)


def read(text: str, folder: str) -> dict[str, Use]:
    """Sum up what sacct prints, by rule.

    Parameters
    ----------
    text
        Rows of `FIELDS`, separated by "|": a job, then its steps.
    folder
        The campaign's folder; jobs of others are left out.
    """
    uses: dict[str, Use] = defaultdict(Use)
    current: Use | None = None
    for line in text.splitlines():
        row = dict(zip(FIELDS, line.split("|", len(FIELDS) - 1), strict=True))
        if "." in row["JobIDRaw"]:
            if current is not None:
                current.used_mib = max(current.used_mib, mebibytes(row["MaxRSS"]))
            continue
        # the rule's name, as the plugin hands it to sbatch
        rule = re.search(r"--comment '?(?:rule|group)_(\w+?)(?:_wildcards_| |')", row["SubmitLine"])
        current = uses[rule[1]] if rule and row["WorkDir"] == folder else None
        if current is None:
            continue
        used = float(row["ElapsedRaw"])
        gpus = re.search(r"gres/gpu=(\d+)", row["AllocTRES"])
        current.jobs += 1
        current.failed += row["State"] != "COMPLETED"
        # UNLIMITED and Partition_Limit are no numbers
        limit = row["TimelimitRaw"]
        current.asked_seconds += 60 * float(limit) if limit.isdigit() else 0.0
        current.used_seconds += used
        current.cpu_seconds += seconds(row["TotalCPU"])
        current.cores_seconds += used * int(row["NCPUS"] or 0)
        current.gpu_seconds += used * int(gpus[1] if gpus else 0)
        current.asked_mib = max(current.asked_mib, mebibytes(row["ReqMem"]))
    return dict(uses)


def ask(since: str, folder: str) -> dict[str, Use] | None:
    """Ask SLURM's accounting for the jobs of a folder since a time; None if it does not answer."""
    command = [
        "sacct", "--noheader", "--parsable2", "--duplicates", "--user", str(os.getuid()),
        f"--starttime={since}", "--state=CD,F,TO,CA,OOM,NF,PR,RQ", "--endtime=now",
        f"--format={','.join(FIELDS)}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else read(done.stdout, folder)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def describe(uses: dict[str, Use]) -> str:
    """Return the table that is shown at the end of a campaign."""
    head = (
        "rule", "jobs", "not ended well", "seconds asked", "seconds used", "share", "cores busy",
        "GPU seconds", "MiB asked", "MiB used", "share",
    )  # fmt: skip
    rows = [head]
    for rule, use in sorted(uses.items(), key=lambda item: -item[1].used_seconds):
        rows.append(
            (
                rule,
                str(use.jobs),
                str(use.failed),
                f"{use.asked_seconds:.0f}",
                f"{use.used_seconds:.0f}",
                _share(use.used_seconds, use.asked_seconds),
                _share(use.cpu_seconds, use.cores_seconds),
                f"{use.gpu_seconds:.0f}",
                f"{use.asked_mib:.0f}",
                f"{use.used_mib:.0f}",
                _share(use.used_mib, use.asked_mib),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def report(since: str, folder: Path) -> str:
    """Return the table for the jobs of a campaign's folder since a time, or why there is none."""
    uses = ask(since, str(folder))
    if uses is None:
        return "SLURM's accounting does not answer: no table of what the jobs used."
    return describe(uses) if uses else "No job of this run is in SLURM's accounting."
