"""Training of several runs on the same graphs in one job: one GPU, graphs that are read once.

The runs are trained one after the other, each with a checkpoint and a lease of its own, so each has
the results that it would have in a job of its own, and a job that is killed loses nothing of those
that were trained before.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defectpool.errors import DefectpoolError
from defectpool.runtime.lease import lease
from defectpool.training.cross_validation import Run, SharedDataset, cross_validate

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet


@dataclass(frozen=True)
class Entry:
    """Entry of the table: a run, the folder of its state, and the files of its artifacts.

    Attributes
    ----------
    run
        What is trained, and how.
    state
        Folder of its checkpoint and lease.
    files
        Paths of its artifacts by name (`Artifacts.write`).
    """

    run: Run
    state: Path
    files: Mapping[str, Path]


def train_together(
    graphs: GraphSet, entries: Sequence[Entry], *, prototypes: Mapping[str, str] | None = None
) -> None:
    """Train and test runs on the same graphs, one after the other, and write their artifacts.

    Parameters
    ----------
    graphs
        Crystal graphs of defective and pristine structures.
    entries
        What is trained, and where its files are.
    prototypes
        Prototype of each host, for `training.split: prototype`.

    Raises
    ------
    DefectpoolError
        Some runs failed; all others were trained and written first.
    Interrupted
        A signal asked to stop, and a checkpoint is saved.
    """
    shared, failed = SharedDataset(), dict[str, str]()
    for entry in entries:
        try:
            # A Snakemake that was killed may have left this very job running.
            with lease(entry.state / "lease") as held:
                artifacts = cross_validate(
                    graphs, entry.run, entry.state, prototypes=prototypes, shared=shared
                )
                held.check()
                artifacts.write(**entry.files)
        except Exception as error:
            if len(entries) == 1:
                raise
            known = isinstance(error, DefectpoolError)
            failed[entry.run.title] = str(error) if known else repr(error)
            if not known:  # a bug, perhaps in a pooling of the user's
                traceback.print_exc()
            print(f"{entry.run.title}: failed: {failed[entry.run.title]}", file=sys.stderr)
    if failed:
        raise DefectpoolError(_message(failed, len(entries)))


def _message(failed: Mapping[str, str], number: int) -> str:
    """Say which runs failed and why, and how to get the results of the others."""
    reasons: dict[str, list[str]] = {}
    for title, reason in failed.items():
        reasons.setdefault(reason, []).append(title)
    lines = [f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items()]
    if len(failed) == number:
        return "\n".join([f"all {number} entries of this job failed", *lines])
    return "\n".join(
        [
            f"{len(failed)} of {number} entries of this job failed; the others are trained",
            *lines,
            "For the results of the others, set training.entries_per_job: 1. They are written from "
            "their checkpoints, without training.",
        ]
    )
