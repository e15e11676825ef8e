"""Memory of a process that computes on many arrays, one after the other."""

import ctypes
import sys
from functools import cache


@cache  # once a process
def keep_memory() -> None:
    """Let this process keep memory that it frees, for the next arrays of the same size.

    By default glibc hands the megabytes of each batch back to the system and gets them again, page
    by page, for the next: a third of the time of a training step on a CPU, and a fifth of that of
    making graphs. Its two thresholds for that are raised (`man mallopt`); another C library is
    left as it is.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 32 * 1024**2)  # M_MMAP_THRESHOLD, at its largest
        mallopt(-1, 1024**3)  # M_TRIM_THRESHOLD
