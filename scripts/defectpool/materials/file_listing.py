"""Structure files at a path: which ones are read, and a checksum of their content.

Nothing heavy is imported here, because the rules ask for the checksum whenever they are parsed.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from defectpool.errors import DefectpoolError
from defectpool.runtime.atomic_write import write_text

FORMATS = {
    ".cif": "cif",
    ".vasp": "vasp",
    ".poscar": "vasp",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".json": "json",
}
VASP_NAME = re.compile(r"(POSCAR|CONTCAR)([._-].*)?", re.IGNORECASE)
C2DB_STRUCTURES = ("structure.xyz", "structure.json")
C2DB_PROPERTIES = "data.json"
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
READABLE = "CIF, POSCAR, CONTCAR, .vasp, extended XYZ or JSON"
UNSETTLED = 2.0  # s; a file that was just written may change again within one tick of its clock


def is_archive(path: str) -> bool:
    """Whether there is an archive at the path, going by its name."""
    return path.lower().endswith(ARCHIVES) and Path(path).is_file()


def listing(path: str) -> tuple[Path, list[str]]:
    """List the structure files of a folder (with its subfolders) or a glob, or a single file.

    Returns
    -------
    tuple
        Folder that the names are relative to, and the names in order. Links that lead nowhere,
        devices and pipes that are named like a structure are among them.

    Raises
    ------
    DefectpoolError
        If there is nothing at the path, or nothing that is named like a structure.
    """
    place = Path(path)
    if place.is_dir():
        root, names = place, structure_names(names_below(place))
    elif place.is_file():
        root, names = place.parent, structure_names([place.name])
    elif place.exists():
        raise DefectpoolError(f"materials.path: {path} is a device or a pipe, not a file or folder")
    else:
        root, names = _matches(place)
    if not names:
        raise DefectpoolError(f"materials.path: no {READABLE} file at {path}")
    return root, names


def _matches(place: Path) -> tuple[Path, list[str]]:
    """List the structure files that a glob matches, in the folders that it matches as well."""
    parts = place.parts
    fixed = next((k for k, part in enumerate(parts) if set(part) & set("*?[")), None)
    if fixed is None:
        raise DefectpoolError(f"materials.path: there is nothing at {place}")
    root = Path(*parts[:fixed])
    names: set[str] = set()
    for match in root.glob(str(Path(*parts[fixed:]))):
        found = names_below(match) if match.is_dir() else [match.name]
        base = match if match.is_dir() else match.parent
        names.update((base / name).relative_to(root).as_posix() for name in found)
    if not names:
        raise DefectpoolError(f"materials.path: no file matches {place}")
    return root, structure_names(sorted(names))


def names_below(root: Path) -> list[str]:
    """Names of everything below a folder that is not a folder, in order."""
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir())


def structure_names(names: list[str]) -> list[str]:
    """Names of structure files, without what C2DB keeps beside a structure."""
    folders = {
        str(PurePosixPath(name).parent)
        for name in names
        if PurePosixPath(name).name in C2DB_STRUCTURES
    }
    return [
        name
        for name in names
        if format_of(name)
        and (
            PurePosixPath(name).name in C2DB_STRUCTURES
            or str(PurePosixPath(name).parent) not in folders
        )
    ]


def format_of(name: str) -> str:
    """ASE's name of the format of a file, going by its name; empty for other files."""
    path = PurePosixPath(name)
    if path.name.startswith("."):
        return ""
    if VASP_NAME.fullmatch(path.name):
        return "vasp"
    return FORMATS.get(path.suffix.lower(), "")


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises
    ------
    DefectpoolError
        If there is no such file or it must not be read.
    """
    try:
        if not path.is_file():
            raise DefectpoolError(f"materials.path: there is no file {path}")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DefectpoolError(f"materials.path: {path} cannot be read ({error})") from None


def digest(path: str, digest_of: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 of an archive, or of names and contents of all files that are read.

    Parameters
    ----------
    path
        Folder, glob, archive or single file.
    digest_of
        Digest of one file.

    Raises
    ------
    DefectpoolError
        If there is nothing at the path.
    """
    if is_archive(path):
        return digest_of(Path(path))
    root, names = listing(path)
    total = hashlib.sha256()
    for name in names:
        try:
            content = digest_of(root / name)
        except DefectpoolError:
            content = "unreadable"  # the selection rejects it with its reason
        total.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def check_sha256(expected: str | None, found: str, place: str) -> None:
    """Compare the checksum of a source with `materials.sha256`, where that is given.

    Raises
    ------
    DefectpoolError
        If they differ.
    """
    if expected and expected != found:
        raise DefectpoolError(
            f"materials.sha256: {place} has {found}, not {expected}; it is another version of the "
            "source: get the correct one, or change the key"
        )


def source_digest(source: str, path: str, cache: Path) -> str:
    """SHA-256 of what `materials.path` holds, whatever the path and the times of its files.

    Parameters
    ----------
    source
        `materials.source`; only `database` and `files` have a path.
    path
        `materials.path`.
    cache
        File that keeps the checksums of files by size and time, so that large files are read once.

    Returns
    -------
    str
        Empty for other sources.

    Raises
    ------
    DefectpoolError
        If there is nothing at the path.
    """
    if source not in ("database", "files"):
        return ""
    known = _read_cache(cache)
    used: dict[str, list[object]] = {}

    def remembered(file: Path) -> str:
        try:
            status = file.stat()
        except OSError:
            return file_digest(file)
        key, stamp = str(file.absolute()), [status.st_size, status.st_mtime_ns, status.st_ino]
        entry = known.get(key)
        if entry is None or entry[:-1] != stamp:
            entry = [*stamp, file_digest(file)]
        if time.time() - status.st_mtime > UNSETTLED:
            used[key] = entry
        return str(entry[-1])

    found = remembered(Path(path)) if source == "database" else digest(path, remembered)
    if used != known:
        with suppress(OSError):  # the cache only saves time
            write_text(cache, json.dumps(used))
    return found


def _read_cache(cache: Path) -> dict[str, list[object]]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
