"""Previous results, kept until a run that replaces them has succeeded.

Snakemake removes the outputs of a job before the job starts, so a run that fails would leave
neither the old results nor new ones. Before a run starts, its existing outputs get a second name in
a dated folder (hard links, which take no space); a run that succeeds removes those that it has
replaced.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def keep(outputs: Iterable[str | Path], folder: Path) -> int:
    """Give existing outputs a second name in a folder.

    Parameters
    ----------
    outputs
        Files that are about to be replaced, relative to the working directory.
    folder
        Folder to keep them in, under the same relative names.

    Returns
    -------
    int
        Number of files that were kept.
    """
    kept = 0
    for output in outputs:
        path = Path(output)
        for file in path.rglob("*") if path.is_dir() else [path]:
            if not file.is_file():
                continue
            name = folder / file
            name.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, name)
            except OSError:  # a file system without hard links
                shutil.copy2(file, name)
            kept += 1
    return kept


def discard_replaced(folder: Path) -> None:
    """Remove the kept files that have been replaced, and folders that are empty then.

    Parameters
    ----------
    folder
        Folder of all dated folders.
    """
    for kept in sorted(folder.rglob("*"), reverse=True):
        if kept.is_dir():
            with suppress(OSError):  # not empty
                kept.rmdir()
        elif Path(*kept.relative_to(folder).parts[1:]).exists():
            kept.unlink()
    with suppress(OSError):
        folder.rmdir()


def note(folder: Path) -> str:
    """Say where previous results are, for the screen; empty if there are none."""
    if not folder.is_dir():
        return ""
    return (
        f"The results that this run was to replace are kept in {folder}/. They are removed once "
        "a run has replaced them."
    )
