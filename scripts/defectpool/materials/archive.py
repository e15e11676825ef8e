"""Hosts from files: a folder, a glob or an archive of CIF, POSCAR, extended XYZ and JSON.

C2DB's own forms are among them: files downloaded from its site, the tree
`AB2/1MoS2/1/structure.xyz` of the current release and `AB2/MoS2/MoS2-b3b4685fb6e1/structure.json`
of earlier ones.
"""

import hashlib
import json
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ase import Atoms
from ase.io import iread

from defectpool.errors import DefectpoolError
from defectpool.materials import database
from defectpool.materials.host import Candidate, Properties, Rejected

FORMATS = {
    ".cif": "cif",
    ".vasp": "vasp",
    ".poscar": "vasp",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".json": "json",
}
VASP_NAME = re.compile(r"(POSCAR|CONTCAR)([._-].*)?", re.IGNORECASE)
MATERIAL = ("structure.xyz", "structure.json")
FACTS = "data.json"
NAMELESS = re.compile(r"structure|POSCAR|CONTCAR", re.IGNORECASE)
TREE_PLACE = re.compile(r"(?:.*/)?(\d+[A-Z][A-Za-z0-9]*)/(\d+)")
OLD_TREE_PLACE = re.compile(r"(?:.*/)?([A-Z][A-Za-z0-9]*-[0-9a-f]{12})")
GREATEST_FILE = 100 * 2**20  # bytes; a structure has a few thousand
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")


def digest(path: str) -> str:
    """SHA-256 of an archive, or of names and contents of all files that would be read.

    Raises
    ------
    DefectpoolError
        If there is nothing at the path.
    """
    if _is_archive(path):
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    root, names = _listing(path)
    total = hashlib.sha256()
    for name in names:
        with (root / name).open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def candidates(path: str) -> Iterator[Candidate | Rejected]:
    """Yield the structures of a folder (with its subfolders), a glob, an archive or a single file.

    Files are read in the order of their names. Names become ids: the C2DB uid where file or folder
    tell it, else the path from the folder on, without its suffix. Files of other kinds are passed
    over, and so are all but `structure.*` (and the facts in `data.json`) in a folder that has one.

    Raises
    ------
    DefectpoolError
        If there is nothing at the path, or if it is a damaged archive.
    """
    if not _is_archive(path):
        root, names = _listing(path)
        yield from _read_all(root, names)
        return
    with tempfile.TemporaryDirectory(prefix="defectpool-") as scratch:
        root = Path(scratch)
        try:
            yield from _unpack(Path(path), root)
        except DAMAGE as error:
            raise DefectpoolError(f"materials.path: {path} is damaged ({error})") from error
        yield from _read_all(root, _wanted(_files_below(root)))


def _is_archive(path: str) -> bool:
    return path.lower().endswith(ARCHIVES) and Path(path).is_file()


def _listing(path: str) -> tuple[Path, list[str]]:
    """Folder that names are relative to, and the names of the files to be read, in order."""
    place = Path(path)
    if place.is_dir():
        return place, _wanted(_files_below(place))
    if place.is_file():
        return place.parent, [place.name]
    parts = place.parts
    fixed = next((k for k, part in enumerate(parts) if set(part) & set("*?[")), None)
    if fixed is None:
        raise DefectpoolError(f"materials.path: there is nothing at {path}")
    root = Path(*parts[:fixed])
    pattern = str(Path(*parts[fixed:]))
    names: set[str] = set()
    for match in root.glob(pattern):
        found = _files_below(match) if match.is_dir() else [match.name]
        base = match if match.is_dir() else match.parent
        names.update((base / name).relative_to(root).as_posix() for name in found)
    if not names:
        raise DefectpoolError(f"materials.path: no file matches {path}")
    return root, _wanted(sorted(names))


def _files_below(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def _wanted(names: list[str]) -> list[str]:
    """Names of structures, without what C2DB keeps beside a structure."""
    materials = {
        str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name in MATERIAL
    }
    return [
        name
        for name in names
        if _format(name)
        and (
            PurePosixPath(name).name in MATERIAL or str(PurePosixPath(name).parent) not in materials
        )
    ]


def _format(name: str) -> str:
    """ASE's name of the format that a file name stands for, empty for other files."""
    path = PurePosixPath(name)
    if path.name.startswith("."):
        return ""
    if VASP_NAME.fullmatch(path.name):
        return "vasp"
    return FORMATS.get(path.suffix.lower(), "")


def _read_all(root: Path, names: list[str]) -> Iterator[Candidate | Rejected]:
    for name in names:
        path = root / name
        if path.stat().st_size > GREATEST_FILE:
            yield Rejected(name, "too_large", f"the file has {path.stat().st_size} bytes")
        elif _format(name) == "json":
            yield from _read_json(path, name)
        else:
            yield from _read(path, name)


def _read(path: Path, name: str) -> Iterator[Candidate | Rejected]:
    """Structures of a file that ASE reads; a damaged one ends the file."""
    facts = _facts(path)
    frames = iread(path, index=":", format=_format(name))
    number = 0
    try:
        frame = next(frames, None)
        if frame is None:
            yield Rejected(name, "empty", "no structure in the file")
        while frame is not None:
            following = next(frames, None)
            alone = number == 0 and following is None
            known = database.scalars(frame.info)
            uid = known.pop("uid", None) or known.pop("id", None) or facts.get("uid")
            place = _place(path, name) if alone else f"{_place(path, name)}.{number}"
            source = name if alone else f"{name}#{number}"
            properties = {k: v for k, v in {**facts, **known}.items() if k != "uid"}
            yield Candidate(str(uid or place), frame, source, properties)
            frame, number = following, number + 1
    except Exception as error:  # readers raise whatever a damaged file provokes
        source = f"{name}#{number}" if number else name
        yield Rejected(source, "unreadable", f"{type(error).__name__}: {error}")


def _read_json(path: Path, name: str) -> Iterator[Candidate | Rejected]:
    """Structures of ASE's JSON database form (C2DB's JSON), or one that pymatgen has stored."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "@class" in content:
            yield Candidate(_place(path, name), _from_pymatgen(content), name)
            return
        rows = list(database.candidates(path))
    except Exception as error:  # as above
        yield Rejected(name, "unreadable", f"{type(error).__name__}: {error}")
        return
    facts = _facts(path)
    if not rows:
        yield Rejected(name, "empty", "no structure in the file")
    for row in rows:
        number = (row.id if isinstance(row, Rejected) else row.source).rpartition("#")[2]
        alone = len(rows) == 1
        source = name if alone else f"{name}#{number}"
        if isinstance(row, Rejected):
            yield Rejected(source, row.reason, row.message)
            continue
        place = _place(path, name) if alone else f"{_place(path, name)}.{number}"
        uid = row.id or facts.get("uid") or place
        properties = {k: v for k, v in {**facts, **row.properties}.items() if k != "uid"}
        yield Candidate(str(uid), row.atoms, source, properties)


def _from_pymatgen(content: dict) -> Atoms:
    from pymatgen.core import Structure

    structure = Structure.from_dict(content)
    if not structure.is_ordered:
        shares = {
            str(k): {str(kind): float(share) for kind, share in site.species.items()}
            for k, site in enumerate(structure)
        }
        disordered = Atoms("H", cell=structure.lattice.matrix, pbc=True)
        disordered.info["occupancy"] = shares
        return disordered
    return Atoms(
        [site.specie.Z for site in structure],
        structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=structure.lattice.pbc,
    )


def _facts(path: Path) -> Properties:
    """Return what C2DB's tree has beside a structure: its key-value pairs."""
    facts = path.with_name(FACTS)
    if path.name not in MATERIAL or not facts.is_file():
        return {}
    try:
        content = json.loads(facts.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return database.scalars(content) if isinstance(content, dict) else {}


def _place(path: Path, name: str) -> str:
    """Id that a file's place gives: a C2DB uid in C2DB's trees, else its path in words."""
    relative = PurePosixPath(name)
    stem = relative.name if VASP_NAME.fullmatch(relative.name) else relative.stem
    if NAMELESS.fullmatch(stem):
        folder = path.absolute().parent.as_posix()
        if new := TREE_PLACE.fullmatch(folder):
            return f"{new[1]}-{new[2]}"
        if old := OLD_TREE_PLACE.fullmatch(folder):
            return old[1]
        if str(relative.parent) != ".":
            return str(relative.parent).replace("/", ".")
    return str(relative.with_name(stem)).replace("/", ".")


def _unpack(path: Path, root: Path) -> Iterator[Rejected]:
    """Unpack what may be a structure below `root`; yield what is refused."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                link = (entry.external_attr >> 28) == 0xA
                if not entry.is_dir():
                    with archive.open(entry) as file:
                        yield from _place_file(root, entry.filename, file, entry.file_size, link)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if not member.isdir():
                content = tar.extractfile(member) if member.isreg() else None
                yield from _place_file(root, member.name, content, member.size, not member.isreg())
            tar.members = []  # type: ignore[attr-defined] # else every header stays in memory


def _place_file(
    root: Path, name: str, content: IO[bytes] | None, size: int, special: bool
) -> Iterator[Rejected]:
    """Copy a member to its place below `root`, unless that is not where it would go."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or not (_format(parts[-1]) or parts[-1] == FACTS):
        return
    if ".." in parts or parts[0] == "/" or ":" in parts[0] or special or content is None:
        what = "a link or device" if special else "a path that leaves the folder"
        yield Rejected(name, "unsafe_path", f"{what}; refused")
    elif size > GREATEST_FILE:
        yield Rejected(name, "too_large", f"the file has {size} bytes")
    else:
        target = root.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
