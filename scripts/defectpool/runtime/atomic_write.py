"""Files that are either whole or not there."""

import filecmp
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from defectpool.runtime.disk import disk_error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path, needed=len(content)) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(
    path: str | os.PathLike[str], keep_equal: bool = False, needed: int = 0
) -> Iterator[Path]:
    """Write a file under a temporary name; rename it when the block ends without an error.

    A reader never sees half a file, and a writer that is killed leaves the old one.

    Parameters
    ----------
    path
        The file to write. Its folder is made if it is missing.
    keep_equal
        Leave a file that has the same bytes as it is, its time included.
    needed
        Bytes that will be written, as far as known.

    Yields
    ------
    Path
        The temporary name, in the same folder and with the same suffixes (`a.csv.gz` stays
        recognizable as such), to be written by the caller.

    Raises
    ------
    DefectpoolError
        The disk is full, or the folder must not be written to.
    """
    final = Path(path)
    temporary = final.with_name(f".{uuid.uuid4().hex[:8]}.{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if keep_equal and final.is_file() and filecmp.cmp(temporary, final, shallow=False):
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # first, so that its space counts as free
        raise disk_error(error, final.parent, needed) or error from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
