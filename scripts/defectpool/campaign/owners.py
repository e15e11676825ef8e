"""Owners of a working directory: which Snakemake processes run in it, and locks they left behind.

A Snakemake that is killed by SIGKILL leaves its lock, and the next one refuses to start. Each main
process writes down who it is; a lock is removed where all of them are known to have ended. On
another machine that cannot be known: there `snakemake --unlock` removes the lock.
"""

import atexit
import json
import os
from pathlib import Path

from defectpool.runtime.lease import has_ended, owner

OWNERS = Path(".snakemake", "defectpool_owners")
LOCKS = Path(".snakemake", "locks")


def register(folder: Path = OWNERS) -> None:
    """Write down that this process runs here, until it ends; if it is killed, that stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / f"{os.getpid()}.json").absolute()
    path.write_text(json.dumps(owner()), encoding="utf-8")
    atexit.register(path.unlink, missing_ok=True)


def remove_stale_locks(folder: Path = OWNERS, locks: Path = LOCKS) -> str:
    """Remove Snakemake's locks if all processes that ran here are known to have ended.

    Returns
    -------
    str
        What was done, for the screen; empty if nothing was.
    """
    held = sorted(locks.glob("*.lock"))
    if not held:
        return ""
    owners = {path: _read(path) for path in folder.glob("*.json")}
    if not owners or not all(who and has_ended(who) for who in owners.values()):
        return ""
    for path in (*held, *owners):
        path.unlink(missing_ok=True)
    pids = ", ".join(str(who["pid"]) for who in owners.values() if who)
    return f"The lock of a Snakemake that was killed (process {pids}) is removed."


def _read(path: Path) -> dict[str, object] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
