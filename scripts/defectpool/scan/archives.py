"""Members of a zip or tar archive, one at a time, without unpacking the archive.

A member never gets a path of its own: it is copied to a temporary file, so that no archive can
write anywhere. Links, devices and paths that leave the archive are refused all the same, because
such an archive is not what it says it is.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from defectpool.scan.formats import UnreadableError

GREATEST_RATIO = 200  # of unpacked to packed bytes; structures pack 3 to 30 times
ALLOWANCE = 50_000_000  # bytes that are unpacked whatever the ratio is
GREATEST_NUMBER = 1_000_000  # members
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)


class Member(NamedTuple):
    """A file in an archive: its name and content, or the reason why it is refused."""

    name: str
    size: int
    content: IO[bytes] | None
    reason: str = ""


def members(path: Path, form: str) -> Iterator[Member]:
    """Files of an archive in their order.

    Parameters
    ----------
    path
        The archive; a tar may be compressed.
    form
        zip or tar.

    Yields
    ------
    Member
        Its content is to be read before the next member is asked for.

    Raises
    ------
    UnreadableError
        Where the archive is damaged, has more members than the limit, or unpacks to so much
        more than it is that it must be a decompression bomb.
    """
    bound = GREATEST_RATIO * path.stat().st_size + ALLOWANCE
    total = 0
    try:
        for number, member in enumerate(_zipped(path) if form == "zip" else _tarred(path)):
            total += member.size
            if total > bound:
                raise UnreadableError(f"unpacks to more than {bound / 1e6:,.0f} MB (a zip bomb?)")
            if number >= GREATEST_NUMBER:
                raise UnreadableError(f"the archive has more than {GREATEST_NUMBER:,} members")
            yield member
    except DAMAGE as error:
        raise UnreadableError(f"damaged archive: {error}") from None


def _zipped(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            reason = _unsafe(entry.filename, (entry.external_attr >> 28) == 0xA)
            if entry.flag_bits & 1:
                reason = "encrypted"
            if reason:
                yield Member(entry.filename, entry.file_size, None, reason)
                continue
            with archive.open(entry) as content:
                yield Member(entry.filename, entry.file_size, content)


def _tarred(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for entry in archive:
            if not entry.isdir():
                reason = _unsafe(entry.name, not entry.isreg())
                content = None if reason else archive.extractfile(entry)
                yield Member(entry.name, entry.size, content, reason)
            archive.members = []  # type: ignore[attr-defined] # else every header stays in memory


def _unsafe(name: str, special: bool) -> str:
    """Return why a member is refused, empty for a plain file at a plain place."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if special:
        return "a link or device; refused"
    if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0]:
        return "a path that leaves the archive; refused"
    return ""
