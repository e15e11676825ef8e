"""What every job does, whatever it computes: keep a log and fail in words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from defectpool.errors import DefectpoolError
from defectpool.runtime.disk import disk_error


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
        With status 1, in place of a `DefectpoolError`, a full disk or a missing permission: the
        message is the log's last line. Any other exception is a bug and keeps its traceback.
    """
    path = Path(log)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", buffering=1, encoding="utf-8")
    except OSError as error:
        _end(disk_error(error, path.parent) or error, sys.stderr)
    try:
        with redirect_stdout(file), redirect_stderr(file):
            yield
    except DefectpoolError as error:
        _end(error, file, sys.stderr)
    except Exception as error:
        named = getattr(error, "filename", None)
        folder = Path(named).parent if isinstance(named, str) else path.parent
        if problem := disk_error(error, folder):
            _end(problem, file, sys.stderr)
        import traceback

        with suppress(OSError):
            traceback.print_exc(file=file)
        raise
    finally:
        with suppress(OSError):  # the disk is full
            file.close()


def _end(error: Exception, *streams: TextIO) -> NoReturn:
    for stream in streams:
        with suppress(OSError):
            print(f"error: {error}", file=stream)
    raise SystemExit(1) from None
