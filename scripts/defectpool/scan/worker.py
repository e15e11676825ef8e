"""Process that reads and analyzes files for `sandbox`, under a memory limit.

It takes tasks from its standard input and answers on its standard output. A file that makes a
parser crash, hang or eat memory takes this process with it and nothing else.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from defectpool.scan.result import Limits


@dataclass(frozen=True)
class Task:
    """A file to be read from its structure number `first` on, under a name, perhaps tracked."""

    path: Path
    name: str
    first: int = 0
    track: bool = False


@dataclass(frozen=True)
class Started:
    """Message: a structure has been read, its analysis begins."""

    frame: int
    atoms: int


def serve(tasks: BinaryIO, replies: BinaryIO) -> None:
    """Answer tasks until there are no more; `None` ends the answers of each."""
    from defectpool.scan.examine import examined

    limits: Limits = pickle.load(tasks)
    limit_memory(limits.memory)
    _send(None, replies)  # ready
    while True:
        try:
            task = pickle.load(tasks)  # written by this program's own `sandbox`
        except EOFError:
            return
        for message in examined(task, limits):
            _send(message, replies)
        _send(None, replies)


def limit_memory(extra: int) -> None:
    """Let this process have so many bytes on top of what it has, where the system can do that."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + extra
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or bound < hard:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def _send(message: object, replies: BinaryIO) -> None:
    pickle.dump(message, replies, pickle.HIGHEST_PROTOCOL)
    replies.flush()


def main() -> None:
    """Serve on standard input and output; what a parser prints goes nowhere."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    import scipy.spatial  # noqa: F401  before the limits of a file count

    import defectpool.scan.examine  # noqa: F401  if this fails, the traceback is wanted

    replies = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with replies:
        serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
