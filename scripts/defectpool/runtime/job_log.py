"""What every job does, whatever it computes: keep a log and fail in words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from defectpool.errors import DefectpoolError


@contextmanager
def logging_to(log: str | Path) -> Iterator[None]:
    """Send what a job prints to its log file; end it with one clear line if the user can mend it.

    Parameters
    ----------
    log
        The log file; it is begun anew.

    Raises
    ------
    SystemExit
        With status 1, in place of a `DefectpoolError`: the message is the log's last line. Any
        other exception is a bug and keeps its traceback.
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", buffering=1, encoding="utf-8") as file:
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        except DefectpoolError as error:
            for stream in (file, sys.stderr):
                print(f"error: {error}", file=stream)
            raise SystemExit(1) from None
        except Exception:
            import traceback

            traceback.print_exc(file=file)
            raise
