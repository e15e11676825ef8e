"""Disk and permission errors in one line: which folder, what is wrong, how much is missing."""

import errno
import os
import shutil
from pathlib import Path

from defectpool.errors import DefectpoolError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def disk_error(error: OSError, folder: Path, needed: int = 0) -> DefectpoolError | None:
    """Describe a full disk or a missing permission; None for any other error.

    Parameters
    ----------
    error
        The error.
    folder
        Folder that was written to.
    needed
        Bytes that were to be written there, as far as known.

    Returns
    -------
    DefectpoolError or None
        To be raised in place of the error. A full disk or a missing permission says nothing about
        the content of a file, so it must not be reported as damage.
    """
    if error.errno in FULL:
        return DefectpoolError(f"{folder}: {missing_space(folder, needed)}")
    if error.errno in FORBIDDEN:
        where = error.filename or folder
        return DefectpoolError(f"{where}: {os.strerror(error.errno or 0).lower()}")
    return None


def missing_space(folder: Path, needed: int) -> str:
    """Say that a folder has no room for so many bytes, and how many MB are missing."""
    free = shutil.disk_usage(folder).free
    text = f"the disk or quota is full ({free / 1e6:.1f} MB free"
    if needed > free:
        text += f", {needed / 1e6:.1f} MB needed, {(needed - free) / 1e6:.1f} MB missing"
    return f"{text}); free some space and run the same command again"
