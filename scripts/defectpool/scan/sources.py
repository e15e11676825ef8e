"""Files that paths stand for: files, folders, globs, archives and standard input."""

from __future__ import annotations

import glob
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defectpool.scan import archives, formats, readers
from defectpool.scan.formats import UnreadableError
from defectpool.scan.result import Limits

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A file to read, or the reason why it is not read.

    Attributes
    ----------
    name
        What the reader calls it: the path as given, `archive.zip/member`, or `-`.
    path
        The regular file; None where there is a reason.
    reason
        Why it is not read.
    temporary
        Whether the file is to be deleted when it has been read.
    """

    name: str
    path: Path | None = None
    reason: str = ""
    temporary: bool = False


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Folder for members of archives, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="defectpool-") as folder:
        yield Path(folder)


def sources(paths: Iterable[str | Path], limits: Limits, folder: Path) -> Iterator[Source]:
    """Files that paths stand for, in the order of the paths and, in a folder, of names.

    Parameters
    ----------
    paths
        Files, folders (with their subfolders), globs, archives, `-` for standard input.
    limits
        Bound on the bytes of each file.
    folder
        Place for temporary files.

    Yields
    ------
    Source
        Nothing is raised: what cannot be read has a reason.
    """
    for path in paths:
        for name in listing(path):
            try:
                yield from _opened(name, limits, folder)
            except Exception as error:  # whatever a damaged archive or a lost disk provokes
                yield Source(readers.printable(name), reason=readers.one_line(str(error)))


def listing(path: str | Path) -> Iterator[str]:
    """Names of the files that a path stands for; the path itself if it stands for none."""
    text = os.fspath(path)
    if text == STDIN or os.path.lexists(text):
        yield from _below(text) if Path(text).is_dir() else [text]
        return
    found = glob.iglob(text, recursive=True)  # noqa: PTH207  pathlib takes no absolute pattern
    matches = sorted(found) if glob.has_magic(text) else []
    for match in matches or [text]:
        yield from _below(match) if Path(match).is_dir() else [match]


def _below(folder: str) -> Iterator[str]:
    """Structures and archives of a folder; files of other formats are passed over."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.is_file() and promising(name, _head(path)):
                yield str(path)


def promising(name: str, head: bytes) -> bool:
    """Whether a file's name or first bytes promise a structure or an archive of them."""
    if formats.known_name(name) or any(head.startswith(magic) for magic, _ in formats.BINARY):
        return True
    return b"\x00" not in head and formats.by_content(head) not in ("", "json")


def _head(path: Path) -> bytes:
    try:
        return readers.first_bytes(path)
    except OSError:  # the name may promise a structure all the same
        return b""


def _opened(name: str, limits: Limits, folder: Path) -> Iterator[Source]:
    """Return the file of a name, or the members of the archive that it is."""
    if name == STDIN:
        path = folder / "stdin"
        readers.save_stream(sys.stdin.buffer, path, limits)
    else:
        path = Path(name)
        _check_regular(path)
    form = _archive_form(path)
    if not form:
        yield Source(readers.printable(name), path)
        return
    for member in archives.members(path, form):
        yield from _member(name, member, limits, folder)


def _member(
    archive: str, member: archives.Member, limits: Limits, folder: Path
) -> Iterator[Source]:
    """Return a member as a temporary file; in an archive only promising ones count."""
    name = readers.printable(f"{archive}/{member.name}")
    if Path(member.name).name.startswith("."):
        return
    if member.content is None:
        yield Source(name, reason=member.reason)
        return
    if member.size > limits.file_bytes:
        size = f"unpacks to {member.size / 1e6:,.0f} MB"
        yield Source(name, reason=readers.too_large(size, limits))
        return
    try:
        head = member.content.read(formats.HEAD)
        if promising(member.name, head):
            handle, path = tempfile.mkstemp(dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(head)
                readers.copy(member.content, file, limits)
            yield Source(name, Path(path), temporary=True)
    except archives.DAMAGE as error:
        yield Source(name, reason=readers.one_line(f"damaged archive: {error}"))


def _check_regular(path: Path) -> None:
    """Refuse what opening would hang on or what never ends."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = "a link to nothing" if path.is_symlink() else "there is no such file"
        raise UnreadableError(what) from None
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None
    if not stat.S_ISREG(mode):
        raise UnreadableError("a device, pipe or socket; refused")


def _archive_form(path: Path) -> str:
    """Return zip or tar for an archive, compressed or not; empty for any other file."""
    head = readers.first_bytes(path)
    packed = formats.compression(head)
    if packed in ("gzip", "bzip2", "xz"):
        try:
            with readers.opener(packed)(path) as file:
                head = file.read(512)
        except readers.DAMAGE:
            return ""
    return formats.archive(head)
