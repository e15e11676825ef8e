"""Failed jobs: the last lines of their logs, and the command that continues the run."""

import re
from dataclasses import dataclass
from pathlib import Path

# "Error in rule train, jobid: 5:" and "Error in rule train:", then indented lines
_BLOCK = re.compile(r"^Error in (?:rule|group) (\S+?)(?:, jobid: \d+)?:\n((?:[ \t]+.*\n?)+)", re.M)
_FIELD = re.compile(r"^ {4}(\w+): (.*)$", re.M)


@dataclass(frozen=True)
class Failure:
    """A job that failed in its last try.

    Attributes
    ----------
    rule
        Its rule.
    output
        Its output files.
    log
        Its log file, if it has one.
    tries
        Number of tries.
    slurm_job
        SLURM job id of the last try; empty without SLURM.
    """

    rule: str
    output: tuple[str, ...]
    log: Path | None
    tries: int
    slurm_job: str


def failures(log: str) -> list[Failure]:
    """Return the jobs that failed and did not succeed in a later try.

    Parameters
    ----------
    log
        The text of Snakemake's own log.
    """
    found: dict[tuple[str, tuple[str, ...]], Failure] = {}
    for rule, body in _BLOCK.findall(log):
        fields = dict(_FIELD.findall(body))
        output = tuple(fields["output"].split(", ")) if fields.get("output") else ()
        name = fields.get("log", "").split(" (")[0].split(", ")[0]
        before = found.get((rule, output))
        found[rule, output] = Failure(
            rule,
            output,
            Path(name) if name else None,
            1 + (before.tries if before else 0),
            fields.get("external_jobid", ""),
        )
    return [
        failure for failure in found.values() if not all(Path(f).exists() for f in failure.output)
    ]


def last_lines(path: Path | None, lines: int) -> list[str]:
    """Return the last lines of a log that are not blank, or why there are none."""
    if path is None:
        return ["(no log)"]
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [f"(no log at {path})"]
    return [line for line in text.splitlines() if line.strip()][-lines:] or ["(its log is empty)"]


def describe(
    found: list[Failure], command: str, has_checkpoints: bool = True, lines: int = 5
) -> str:
    """Return the message for a run in which jobs failed.

    Parameters
    ----------
    command
        Command that continues the run.
    has_checkpoints
        Whether there is a folder `results/state`, from which trainings continue.
    lines
        Lines of each log.
    """
    text = []
    for failure in found:
        made = failure.output[0] if failure.output else failure.rule
        job = f", SLURM job {failure.slurm_job}" if failure.slurm_job else ""
        tries = "once" if failure.tries == 1 else f"{failure.tries} times"
        text.append(f"{failure.rule} failed ({tries}{job}): {made}")
        text += [f"    {line}" for line in last_lines(failure.log, lines)]
        if failure.log:
            text.append(f"    (complete log: {failure.log})")
    text += [
        f"{len(found)} job{'s' if len(found) != 1 else ''} failed. {_kept(has_checkpoints)} "
        "After fixing the cause, continue with:",
        f"    {command}",
    ]
    return "\n".join(text)


def _kept(has_checkpoints: bool) -> str:
    if has_checkpoints:
        return (
            "The outputs of finished jobs are kept. Trainings continue from their checkpoints in "
            "results/state; do not delete that folder before the campaign is complete."
        )
    return "The outputs of finished jobs are kept. There are no checkpoints of trainings."
