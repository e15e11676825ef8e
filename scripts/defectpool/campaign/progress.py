"""Progress lines: one line per finished job with the share done and the time left.

Snakemake prints about fifteen lines per job. `install` replaces them on the screen; Snakemake's own
log file keeps everything, the reason of each job included.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

# Events of Snakemake's log that the lines replace.
REPLACED = frozenset(
    (
        "WORKFLOW_STARTED", "JOB_INFO", "JOB_STARTED", "JOB_FINISHED", "JOB_ERROR", "PROGRESS",
        "SHELLCMD",
    )
)  # fmt: skip

# Exceptions that repeat that a job failed; `failures.describe` says why.
REPEATED = ("RuleException", "CalledProcessError")

# Message that Snakemake prints again for each job, without an event.
SELECTING = "Select jobs to execute..."

# Name of the handler with which Snakemake writes to the screen.
SCREEN = "DefaultStreamHandler"


@dataclass
class Progress:
    """Jobs of a run: how many are left and how long they take.

    Attributes
    ----------
    left
        Jobs of each rule that are not finished.
    total
        Number of jobs.
    began
        Time at which the run began, in seconds.
    running
        Rule, name and start time of each job that was started.
    spent
        Seconds of the finished jobs of each rule.
    """

    left: dict[str, int] = field(default_factory=dict)
    total: int = 0
    began: float = 0.0
    running: dict[int, tuple[str, str, float]] = field(default_factory=dict)
    spent: dict[str, list[float]] = field(default_factory=dict)

    def plan(self, jobs: Mapping[str, int], now: float) -> None:
        """Begin a run with so many jobs of each rule."""
        self.left = {rule: number for rule, number in jobs.items() if rule != "total"}
        self.total, self.began = sum(self.left.values()), now

    def start(self, job: int, rule: str, wildcards: Mapping[str, str], now: float) -> None:
        """Start a job."""
        self.running[job] = (rule, " ".join((rule, *map(str, wildcards.values()))), now)

    def finish(self, job: int, now: float) -> str:
        """Finish a job and return its line; empty for a job that was never started."""
        if job not in self.running:
            return ""
        rule, name, start = self.running.pop(job)
        self.left[rule] = self.left.get(rule, 1) - 1
        self.spent.setdefault(rule, []).append(now - start)
        done = self.total - sum(self.left.values())
        share = f"{done:{len(str(self.total))}d}/{self.total} {done / max(self.total, 1):4.0%}"
        rest = f", about {duration(self.time_left(now))} left" if done < self.total else ""
        return f"[{share}] {name}: {duration(now - start)}{rest}"

    def fail(self, job: int, now: float) -> str:
        """Return the line of a job that failed; it may be started again."""
        _, name, start = self.running.pop(job, ("", "", now))
        return f"{name}: failed after {duration(now - start)}" if name else ""

    def time_left(self, now: float) -> float:
        """Seconds until the end, if jobs go on to take as long and to overlap as much."""
        finished = [seconds for each in self.spent.values() for seconds in each]
        if not finished:
            return 0.0
        average = sum(finished) / len(finished)
        mean = {rule: sum(each) / len(each) for rule, each in self.spent.items()}
        work = sum(number * mean.get(rule, average) for rule, number in self.left.items())
        elapsed = [(rule, now - start) for rule, _, start in self.running.values()]
        work -= sum(min(seconds, mean.get(rule, average)) for rule, seconds in elapsed)
        busy = sum(finished) + sum(seconds for _, seconds in elapsed)
        return work * max(now - self.began, 1e-3) / max(busy, 1e-3)


def duration(seconds: float) -> str:
    """Time in the unit that suits it: 8 s, 5 min, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class ProgressHandler(logging.Handler):
    """Log handler that writes the progress lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self.progress = Progress()

    def emit(self, record: logging.LogRecord) -> None:
        """Follow an event of Snakemake's log."""
        event, now = _event(record), time.monotonic()
        about: dict[str, Any] = record.__dict__
        try:
            if event == "RUN_INFO" and not self.progress.total:
                self.progress.plan(about["stats"], now)
            elif event == "JOB_INFO":
                wildcards = about["wildcards"] or {}
                self.progress.start(about["jobid"], about["rule_name"], wildcards, now)
            elif event == "JOB_FINISHED":
                self._say(self.progress.finish(about["job_id"], now))
            elif event == "JOB_ERROR":
                self._say(self.progress.fail(about["jobid"], now))
        except Exception:  # an error here, such as a closed screen, must not end the run
            self.handleError(record)

    def _say(self, line: str) -> None:
        if line:
            print(line, file=self.stream, flush=True)


def _event(record: logging.LogRecord) -> str:
    return str(getattr(getattr(record, "event", None), "name", ""))


def _is_kept(record: logging.LogRecord) -> bool:
    if _event(record) == "ERROR" and getattr(record, "exception", "") in REPEATED:
        return False
    return _event(record) not in REPLACED and record.getMessage() != SELECTING


def install(logger: logging.Logger) -> bool:
    """Replace Snakemake's messages about jobs on the screen by progress lines.

    Parameters
    ----------
    logger
        Snakemake's logger.

    Returns
    -------
    bool
        Whether there was a handler to replace; without one, Snakemake's own messages remain.
    """
    screens = [handler for handler in logger.handlers if handler.get_name() == SCREEN]
    installed = any(isinstance(handler, ProgressHandler) for handler in logger.handlers)
    if installed or not screens:
        return installed
    screens[0].addFilter(_is_kept)
    logger.addHandler(ProgressHandler(getattr(screens[0], "stream")))  # noqa: B009
    return True
