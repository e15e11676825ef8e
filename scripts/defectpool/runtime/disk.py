"""Disk and permission errors in one line: which folder, what is wrong, how much is missing."""

import errno
import os
import shutil
from pathlib import Path

from defectpool.errors import DefectpoolError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def disk_error(error: BaseException, folder: Path, needed: int = 0) -> DefectpoolError | None:
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
    if full(error):
        return DefectpoolError(f"{folder}: {missing_space(folder, needed)}")
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        named = Path(error.filename) if isinstance(error.filename, str) else folder
        where = folder if named.parent == folder else named  # not a temporary name
        return DefectpoolError(f"{where}: {os.strerror(error.errno or 0).lower()}")
    return None


def full(error: BaseException) -> bool:
    """Whether an error says that a disk is full; HDF5 says so in its text alone."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(f"errno = {number}," in str(error) for number in FULL)


def reading_error(error: BaseException, path: Path) -> DefectpoolError | None:
    """Describe why the system does not give a file; None if it gives one that is damaged.

    Formats report damage as `OSError`, too, but without the number of an error of the system.
    """
    if isinstance(error, FileNotFoundError):
        return DefectpoolError(
            f"{path}: there is no such file; check the path, or run the campaign that makes it"
        )
    if isinstance(error, OSError) and error.errno:
        why = os.strerror(error.errno).lower()
        return DefectpoolError(
            f"{path}: cannot be read: {why}; check its permissions and the file system"
        )
    return None


def missing_space(folder: Path, needed: int) -> str:
    """Say that a folder has no room for so many bytes, and how many MB are missing."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(there).free
    text = f"the disk or quota is full ({free / 1e6:.1f} MB free"
    if needed > free:
        text += f", {needed / 1e6:.1f} MB needed, {(needed - free) / 1e6:.1f} MB missing"
    return f"{text}); free some space and run the same command again"
