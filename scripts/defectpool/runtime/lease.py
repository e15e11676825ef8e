"""One writer at a time: a lease on an entry that many nodes share through a file system.

A Snakemake that was killed leaves its jobs running, and the next one submits them again. Whoever
comes second waits here until the first one has ended or has not been heard of for a while, and
then finds what it left.

Nothing is asked of the file system but what NFS promises: a hard link is made once (`link` fails
if the name exists, decided by the server), and a file that is opened again shows what was written
and closed before. Clocks of different nodes are never compared, and nothing is ever deleted: a
lease is a file with a number, the highest number rules, and who takes over makes the next one.
"""

import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from defectpool.runtime.disk import disk_error

LOST = 75


def owner() -> dict[str, Any]:
    """Say who is asking: enough to tell, on the same machine, whether it is still there."""
    return {
        "host": platform.node(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "pid": os.getpid(),
        "machine": _machine(),
        "process_started": _process_started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _machine() -> str:
    """Return this boot of this machine, and this space of process ids; empty if that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_started(pid: int) -> str:
    """Return when a process of this machine started (a process id may be used again)."""
    try:
        # after the command, which may hold anything: state is field 3, starttime field 22
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder is known to have ended; False where that cannot be known from here."""
    if holder.get("machine") and holder["machine"] == _machine():
        return _process_started(holder["pid"]) != holder["process_started"]
    return False


class Lease:
    """A held lease; it beats in the background until it is released."""

    def __init__(self, path: Path, holder: dict[str, Any], beat: float) -> None:
        self.path, self._holder, self._beat = path, holder, beat
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """End this process, with nothing more written, if another one has taken over."""
        if _name(self.path.parent, _number(self.path) + 1).exists():
            print(f"{self.path} was taken over: leaving", file=sys.stderr, flush=True)
            os._exit(LOST)

    def _write(self, **more: Any) -> None:
        # in place, since who has this file open must see it; a reader of half a line waits
        with self.path.open("r+", encoding="utf-8") as file:
            file.write(json.dumps({**self._holder, **more}) + "\n")
            file.truncate()
            file.flush()
            os.fsync(file.fileno())

    def _keep(self) -> None:
        beats = 0
        while not self._end.wait(self._beat):
            beats += 1
            try:
                self.check()
                self._write(beats=beats)
            except OSError as error:
                # the disk may be full or away; the others see no beat and may take over
                print(f"{self.path}: no beat ({error})", file=sys.stderr, flush=True)

    def release(self) -> None:
        """Let the next one in."""
        self._end.set()
        self._thread.join()
        self.check()
        try:
            self._write(released=time.strftime("%Y-%m-%d %H:%M:%S"))
        except OSError as error:
            print(f"{self.path}: not released ({error})", file=sys.stderr, flush=True)


def _name(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"


def _number(path: Path) -> int:
    return int(path.stem)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a lease says; None while it is being written."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return None


def _make(path: Path, holder: dict[str, Any]) -> bool:
    """Make a lease, unless somebody else has made it."""
    own = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with own.open("w", encoding="utf-8") as file:
            file.write(json.dumps(holder) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(own)
        except FileExistsError:
            return False
        except OSError:
            # an answer that got lost: the number of links tells whether it was made
            if own.stat().st_nlink != 2:
                raise
        return True
    except OSError as error:
        raise disk_error(error, path.parent) or error from None
    finally:
        own.unlink(missing_ok=True)


@contextmanager
def lease(
    folder: Path,
    beat: float = 10.0,
    timeout: float = 120.0,
    say: Callable[[str], None] = print,
) -> Iterator[Lease]:
    """Hold the lease on an entry; wait for it as long as somebody else does.

    Parameters
    ----------
    folder
        Where the leases of the entry lie. They stay there, as a record of who held it and when.
    beat
        Seconds between signs of life.
    timeout
        A holder on another machine that has given no sign for so many seconds, by our own clock,
        is taken for dead. Should it wake up, it ends itself at its next beat.
    say
        Told once for each holder that is waited for.

    Yields
    ------
    Lease
        Call its `check` before results are put in place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    me = owner()
    seen: tuple[int, Any] = (-1, None)
    last_change = time.monotonic()
    while True:
        number = max((_number(path) for path in folder.glob("[0-9]*.json")), default=0)
        # a listing may be old, the existence of the next name is not
        while _name(folder, number + 1).exists():
            number += 1
        holder = _read(_name(folder, number)) if number else {"released": True}
        if (number, holder) != seen:
            if (
                holder
                and number != seen[0]
                and not holder.get("released")
                and not has_ended(holder)
            ):
                job = f", SLURM job {holder['slurm_job']}" if holder["slurm_job"] else ""
                say(f"waiting for {holder['host']}{job}, at it since {holder['since']}")
            seen, last_change = (number, holder), time.monotonic()
        silent = time.monotonic() - last_change > timeout
        free = silent or (holder is not None and (holder.get("released") or has_ended(holder)))
        if free and _make(_name(folder, number + 1), me):
            break
        if not free:
            time.sleep(min(1.0, timeout / 10))
    held = Lease(_name(folder, number + 1), me, beat)
    try:
        yield held
    finally:
        held.release()
