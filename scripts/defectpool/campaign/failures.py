"""Failed jobs: the last lines of their logs, and the command that continues the run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# "Error in rule train, jobid: 5:" and "Error in rule train:", then indented lines
_BLOCK = re.compile(r"^Error in (?:rule|group) (\S+?)(?:, jobid: \d+)?:\n((?:[ \t]+.*\n?)+)", re.M)
_FIELD = re.compile(r"^ {4}(\w+): (.*)$", re.M)

# What Snakemake says before such a block of a job that was killed.
_KILLED = re.compile(r"died with <Signals\.(\w+): \d+>")

# A job that ended well without all of its outputs has no such block, but an exception with the
# number of the job; what the job was to do stands in the block with which it began.
_MISSING = re.compile(
    r"^MissingOutputException in rule .*:\nJob (\d+) .*\n((?:\S+ \(missing.*\n?)+)", re.M
)
_BEGUN = re.compile(r"^(?:local)?(?:rule|checkpoint) (\S+):\n((?:[ \t]+.*\n?)+)", re.M)


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
    reason
        What its log cannot say: it was killed, or an output is missing.
    """

    rule: str
    output: tuple[str, ...]
    log: Path | None
    tries: int
    slurm_job: str
    reason: str = ""


def failures(log: str) -> list[Failure]:
    """Return the jobs that failed and did not succeed in a later try.

    Parameters
    ----------
    log
        The text of Snakemake's own log.
    """
    found: dict[tuple[str, tuple[str, ...]], Failure] = {}
    for rule, fields, reason in _reported(log):
        output = tuple(fields["output"].split(", ")) if fields.get("output") else ()
        name = fields.get("log", "").split(" (")[0].split(", ")[0]
        before = found.get((rule, output))
        found[rule, output] = Failure(
            rule,
            output,
            Path(name) if name else None,
            1 + (before.tries if before else 0),
            fields.get("external_jobid", ""),
            reason,
        )
    return [
        failure for failure in found.values() if not all(Path(f).exists() for f in failure.output)
    ]


def _reported(log: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Rule, fields and reason of each failed try that Snakemake's log reports."""
    end = 0
    for block in _BLOCK.finditer(log):
        killed = _KILLED.findall(log[end : block.start()])
        fields = dict(_FIELD.findall(block[2]))
        message = fields.get("message", "None")
        reason = "" if message == "None" else message
        if killed:
            reason = f"killed by {killed[-1]}: out of memory, or by hand"
        yield block[1], fields, reason
        end = block.end()
    begun = {}
    for block in _BEGUN.finditer(log):
        fields = dict(_FIELD.findall(block[2]))
        begun[fields.get("jobid")] = (block[1], fields)
    for job, files in _MISSING.findall(log):
        if job in begun:
            names = ", ".join(line.split(" (missing")[0] for line in files.splitlines())
            yield *begun[job], f"ended without an error, but did not write {names}"


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
    if not found:
        return f"The run ended with the error above. Continue with:\n    {command}"
    alike: dict[tuple[str, ...], list[Failure]] = {}
    for failure in found:
        said = last_lines(failure.log, lines)
        reason = [failure.reason] if failure.reason else []
        alike.setdefault((failure.rule, *reason, *said), []).append(failure)
    text = []
    for (rule, *said), them in alike.items():
        text.append(_headline(rule, them))
        text += [f"    {line}" for line in said]
        if them[0].log:
            text.append(f"    (complete log: {them[0].log})")
    text += [
        f"{len(found)} job{'s' if len(found) != 1 else ''} failed. {_kept(has_checkpoints)} "
        "After fixing the cause, continue with:",
        f"    {command}",
    ]
    return "\n".join(text)


def _headline(rule: str, alike: list[Failure]) -> str:
    """Name the first of the jobs that failed alike, and how many more there are."""
    first = alike[0]
    made = first.output[0] if first.output else rule
    job = f", SLURM job {first.slurm_job}" if first.slurm_job else ""
    tries = "once" if first.tries == 1 else f"{first.tries} times"
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    return f"{rule} failed ({tries}{job}): {made}{more}"


def _kept(has_checkpoints: bool) -> str:
    if has_checkpoints:
        return (
            "The outputs of finished jobs are kept. Trainings continue from their checkpoints in "
            "results/state; do not delete that folder before the campaign is complete."
        )
    return "The outputs of finished jobs are kept. There are no checkpoints of trainings."
