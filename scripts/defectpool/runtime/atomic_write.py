"""Files that are either whole or not there."""

import filecmp
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: str | os.PathLike[str], keep_equal: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name; rename it when the block ends without an error.

    A reader never sees half a file, and a writer that is killed leaves the old one.

    Parameters
    ----------
    path
        The file to write. Its folder is made if it is missing.
    keep_equal
        Leave a file that has the same bytes as it is, its time included.

    Yields
    ------
    Path
        The temporary name, in the same folder and with the same suffixes (`a.csv.gz` stays
        recognizable as such), to be written by the caller.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{uuid.uuid4().hex[:8]}.{final.name}")
    try:
        yield temporary
        if keep_equal and final.is_file() and filecmp.cmp(temporary, final, shallow=False):
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
