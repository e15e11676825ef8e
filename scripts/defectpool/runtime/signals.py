"""Signals that ask a job to stop, collected instead of obeyed at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGUSR1 and SIGHUP (a closed terminal) while the block runs.

    Yields
    ------
    list
        Numbers of the signals that have come so far.
    """
    came: list[int] = []
    try:
        before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in STOPPING}
    except ValueError:  # not in the main thread, where signals do not arrive anyway
        before = {}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
