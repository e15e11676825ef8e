"""Archives of structures, unpacked into a folder within limits.

Only members that are named like a structure are written, under names that stay inside the folder.
A member that cannot be written as it is named, or that is too large, is left out by itself.
"""

import errno
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from defectpool.errors import DefectpoolError
from defectpool.materials.file_listing import C2DB_PROPERTIES, format_of
from defectpool.materials.host import Rejected, in_words
from defectpool.runtime.disk import disk_error, missing_space

MAX_FILE = 100 * 2**20  # bytes; a structure has a few thousand
MAX_TOTAL = 512 * 2**20  # bytes of all structures of an archive; all of C2DB has 60 MB
MAX_RATIO = 200  # unpacked bytes for each byte of an archive; text is packed 5 to 10 times
MAX_DIRECTORY = 64 * 2**20  # bytes; the table of contents of a zip of 600,000 files
BLOCK = 2**20  # bytes copied at a time
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted zip
    NotImplementedError,
    ValueError,
)
# what a file system says of names that it cannot hold
BAD_NAME = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ}
)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder (in `TMPDIR`) that is removed afterwards.

    Raises
    ------
    DefectpoolError
        If there is no place for it.
    """
    try:
        scratch = tempfile.TemporaryDirectory(prefix="defectpool-")
    except OSError as error:
        raise DefectpoolError(
            f"TMPDIR: no temporary folder can be made ({error.strerror or error}); set TMPDIR to "
            "a folder with free space"
        ) from None
    with scratch as folder:
        yield Path(folder)


def unpack(path: Path, root: Path) -> Iterator[Rejected]:
    """Unpack the structures of an archive below `root`; yield the members that are refused.

    Raises
    ------
    DefectpoolError
        If the archive is damaged or may not be read, if it unpacks to more than 200 times its
        size, or if the folder is full.
    """
    try:
        yield from (
            _unpack_zip(path, root) if path.suffix.lower() == ".zip" else _unpack_tar(path, root)
        )
    except DAMAGE as error:
        if isinstance(error, OSError) and (problem := disk_error(error, path.parent)):
            raise problem from None
        raise DefectpoolError(f"materials.path: {path} is damaged ({in_words(error)})") from None


def _unpack_zip(path: Path, root: Path) -> Iterator[Rejected]:
    if _directory_size(path) > MAX_DIRECTORY:
        raise DefectpoolError(f"materials.path: {path} has too many members; pack fewer files")
    folder = _Folder(root)
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        needed = sum(m.file_size for m in members if _is_wanted(m.filename))
        needed = min(needed, MAX_TOTAL)
        if needed > shutil.disk_usage(root).free:
            raise DefectpoolError(f"{root}: {missing_space(root, needed)}")
        for member in members:
            link = (member.external_attr >> 28) == 0xA
            if _is_wanted(member.filename):
                with archive.open(member) as content:
                    yield from folder.add(member.filename, content, member.file_size, link)


def _directory_size(path: Path) -> int:
    """Size of the table of contents of a zip, in bytes, before it is read into memory."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 2**16 - 22))
        tail = file.read()
    start = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[start + 12 : start + 16], "little") if start >= 0 else 0


def _unpack_tar(path: Path, root: Path) -> Iterator[Rejected]:
    folder = _Folder(root)
    limit = MAX_RATIO * path.stat().st_size + MAX_FILE
    with tarfile.open(path) as tar:
        for member in tar:
            if member.offset_data + member.size > limit:
                raise DefectpoolError(
                    f"materials.path: {path} unpacks to more than {MAX_RATIO} times its size "
                    f"(member {member.name}); pack its structures alone"
                )
            if not member.isdir() and _is_wanted(member.name):
                content = tar.extractfile(member) if member.isreg() else None
                yield from folder.add(member.name, content, member.size, not member.isreg())
            tar.members = []  # type: ignore[attr-defined] # else every header stays in memory


def _is_wanted(name: str) -> bool:
    last = PurePosixPath(name.replace("\\", "/")).name
    return bool(format_of(last)) or last == C2DB_PROPERTIES


class _Folder:
    """A folder that members of an archive are written to, up to a total size."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.total = 0

    def add(
        self, name: str, content: IO[bytes] | None, size: int, special: bool
    ) -> Iterator[Rejected]:
        """Write a member to its place below the folder, or yield why not."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if special or content is None:
            yield Rejected(name, "unsafe_path", "a link or device; refused")
        elif ".." in parts or parts[0] == "/" or ":" in parts[0]:
            yield Rejected(name, "unsafe_path", "a path that leaves the folder; refused")
        elif size > MAX_FILE:
            yield Rejected(name, "too_large", f"the file has {size} bytes, more than {MAX_FILE}")
        elif self.total + size > MAX_TOTAL:
            yield Rejected(
                name,
                "too_large",
                f"{self.total} bytes of structures come before it, the limit is {MAX_TOTAL}",
            )
        else:
            try:
                self._write(self.root.joinpath(*parts), content, size)
            except OSError as error:
                if error.errno not in BAD_NAME:
                    raise
                yield Rejected(name, "bad_name", f"no file can have this name: {error.strerror}")

    def _write(self, target: Path, content: IO[bytes], size: int) -> None:
        """Copy a member; the reader of the archive ends it after the size that it declares."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("wb")
        except OSError as error:
            raise disk_error(error, self.root, size) or error from None
        with file:
            while block := content.read(BLOCK):
                self.total += len(block)
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    raise disk_error(error, self.root, size) or error from None
