"""Threads of OpenMP beside others."""

import os

# Turns in a waiting loop, some 0.1 to 0.5 ms. Fewer make small steps slower.
TURNS = "10000"


def let_threads_rest() -> None:
    """Let OpenMP's threads rest soon after their work, instead of keeping a core busy.

    By default a thread of GNU's OpenMP, which torch computes with on Linux, waits for more work in
    a loop of several milliseconds. In that time other threads of a step, those of compiled loops,
    lack a core: with two threads, a step on disordered cells takes a fifth longer and more. What
    the user has set stands. OpenMP reads this once, when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", TURNS)
