"""Files read and analyzed in a process of their own, which is replaced when a file ends it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer
from types import TracebackType
from typing import Any

import defectpool
from defectpool.scan.result import Limits, Result
from defectpool.scan.worker import Started, Task

START_UP = 60.0  # seconds that a process may take to import everything, on a busy file system
SECONDS_PER_ATOM = 0.001


class EndedError(Exception):
    """Reason why the process ended before it answered."""


class Sandbox:
    """Process that reads and analyzes files, under limits of time and memory.

    Used as a context manager; the process starts at once, so that its imports overlap with
    whatever the caller does next.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._fresh = True
        self._process = self._start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def results(self, path: Path, name: str, track: bool = False) -> Iterator[Result]:
        """Results of the structures of a file, in their order.

        Parameters
        ----------
        path
            A regular file, compressed or not; no archive.
        name
            What the results call it.
        track
            Whether frames of the same atoms are a trajectory.

        Yields
        ------
        Result
            Where the process ends at a structure, the reason; then the structures after it.
        """
        task: Task | None = Task(path, name, track=track)
        while task:
            task = yield from self._until_it_ends(task)

    def _until_it_ends(self, task: Task) -> Generator[Result, None, Task | None]:
        """Yield results; return what to go on with in a new process, or None."""
        started = Started(task.first, 0)
        analyzing = False
        try:
            if self._fresh:
                self._receive(START_UP)
                self._fresh = False
            self._send(task)
            while (message := self._receive(self._allowed(started, analyzing))) is not None:
                analyzing = isinstance(message, Started)
                if isinstance(message, Started):
                    started = message
                else:
                    started = Started(message.frame + 1, 0)
                    yield message
            return None
        except EndedError as reason:
            self._stop()
            self._fresh, self._process = True, self._start()
            what = "analyzing it" if analyzing else "reading it"
            yield Result(task.name, started.frame, started.atoms, reason=f"{what} {reason}")
            return replace(task, first=started.frame + 1, track=False) if analyzing else None

    def _start(self) -> subprocess.Popen[bytes]:
        package = str(Path(defectpool.__file__).parents[1])
        paths = [package, os.environ.get("PYTHONPATH", "")]
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "defectpool.scan.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | one | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        with suppress(OSError):  # a process that ends at once is noticed by the first answer
            pickle.dump(self.limits, process.stdin)  # type: ignore[arg-type]
            process.stdin.flush()  # type: ignore[union-attr]
        return process

    def _stop(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # the process is gone, with a task half sent
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()

    def _send(self, task: Task) -> None:
        try:
            pickle.dump(task, self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            raise EndedError(self._why()) from None

    def _allowed(self, started: Started, analyzing: bool) -> float:
        return self.limits.seconds + started.atoms * SECONDS_PER_ATOM * analyzing

    def _receive(self, seconds: float) -> Any:
        """Return the next message; a process that is silent for too long is killed."""
        expired = Event()
        process = self._process

        def end() -> None:
            expired.set()
            process.kill()

        timer = Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, pickle.UnpicklingError):
            took = f"took more than {seconds:g} s (--max-seconds)"
            raise EndedError(took if expired.is_set() else self._why()) from None
        finally:
            timer.cancel()

    def _why(self) -> str:
        """Return what ended the process, in words."""
        status = self._process.wait()
        if status == -signal.SIGKILL:
            return "took more memory than there is"
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"ended the process ({name})"
