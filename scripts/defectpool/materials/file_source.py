"""Hosts from files: a folder, a glob or an archive of CIF, POSCAR, extended XYZ and JSON.

C2DB's own forms are among them: files downloaded from its site, the tree
`AB2/1MoS2/1/structure.xyz` of the current release and `AB2/MoS2/MoS2-b3b4685fb6e1/structure.json`
of earlier releases. Sites are counted before a file is parsed, because readers take minutes or all
memory for a file that claims a million of them.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ase import Atoms
from ase.io import iread

from defectpool.errors import DefectpoolError
from defectpool.materials import database
from defectpool.materials.archive import MAX_FILE, scratch_folder, unpack
from defectpool.materials.file_listing import (
    C2DB_PROPERTIES,
    C2DB_STRUCTURES,
    VASP_NAME,
    format_of,
    is_archive,
    listing,
    names_below,
    structure_names,
)
from defectpool.materials.host import BadStructure, Candidate, Properties, Rejected, in_words
from defectpool.materials.structure_texts import MAX_STRUCTURES, check_json, check_size, split

NAMELESS = re.compile(r"structure|POSCAR|CONTCAR", re.IGNORECASE)
TREE_PLACE = re.compile(r"(?:.*/)?(\d+[A-Z][A-Za-z0-9]*)/(\d+)")
OLD_TREE_PLACE = re.compile(r"(?:.*/)?([A-Z][A-Za-z0-9]*-[0-9a-f]{12})")


def candidates(path: str) -> Iterator[Candidate | Rejected]:
    """Yield the structures of a folder (with its subfolders), a glob, an archive or a single file.

    Files are read in the order of their names. Names become ids: the C2DB uid where file or folder
    tell it, else the path from the folder on, without its suffix. Files of other formats are passed
    over, and so are all but `structure.*` and the properties in `data.json` in a folder that has
    a `structure.*`.

    Raises
    ------
    DefectpoolError
        If there is no structure file at the path, if it is a damaged archive, or if the temporary
        folder is full.
    """
    if not is_archive(path):
        root, names = listing(path)
        yield from _read_all(root, names)
        return
    with scratch_folder() as root:
        yield from unpack(Path(path), root)
        yield from _read_all(root, structure_names(names_below(root)))


def _read_all(root: Path, names: list[str]) -> Iterator[Candidate | Rejected]:
    for name in names:
        path = root / name
        try:
            if not path.is_file():
                yield Rejected(name, "not_a_file", "a device, a pipe or a link that leads nowhere")
            elif (size := path.stat().st_size) > MAX_FILE:
                message = f"the file has {size} bytes, more than {MAX_FILE}"
                yield Rejected(name, "too_large", message)
            elif format_of(name) == "json":
                yield from _read_json(path, name)
            else:
                yield from _read(path, name)
        except OSError as error:
            yield Rejected(name, "unreadable", f"the file cannot be read: {error.strerror}")


def _read(path: Path, name: str) -> Iterator[Candidate | Rejected]:
    """Structures of a file that ASE reads, each by itself."""
    structures = _structures(path, format_of(name))
    first = next(structures, None)
    if first is None:
        yield _no_structure(path, name)
        return
    second = next(structures, None)
    facts = _facts(path)
    if second is None:
        yield _named(path, name, "", first, facts)
        return
    for number, structure in enumerate(_chain(first, second, structures)):
        yield _named(path, name, str(number), structure, facts)


def _chain(
    first: Atoms | BadStructure,
    second: Atoms | BadStructure,
    others: Iterator[Atoms | BadStructure],
) -> Iterator[Atoms | BadStructure]:
    yield first
    yield second
    yield from others


def _structures(path: Path, form: str) -> Iterator[Atoms | BadStructure]:
    """Read the structures of a file, or why one of them cannot be read."""
    for number, text in enumerate(split(path, form)):
        if number == MAX_STRUCTURES:
            yield BadStructure("too_large", f"more than {MAX_STRUCTURES} structures in one file")
            return
        try:
            check_size(text, form)
            if form == "vasp":  # ASE looks for species in the folder of an old POSCAR
                yield from iread(path, format="vasp")
            else:
                file = io.BytesIO(text) if form == "cif" else io.StringIO(text.decode())
                yield from iread(file, index=":", format=form)
        except BadStructure as error:
            yield error
        except Exception as error:  # readers raise whatever a damaged file provokes
            yield BadStructure("unreadable", in_words(error))


def _named(
    path: Path, name: str, number: str, structure: Atoms | BadStructure, facts: Properties
) -> Candidate | Rejected:
    """Give a structure its id; the number counts structures where a file has several."""
    source = f"{name}#{number}" if number else name
    if isinstance(structure, BadStructure):
        return Rejected(source, structure.reason, str(structure))
    known = database.scalars(structure.info)
    uid = known.pop("uid", None) or known.pop("id", None) or facts.get("uid")
    place = f"{_place(path, name)}.{number}" if number else _place(path, name)
    properties = {k: v for k, v in {**facts, **known}.items() if k != "uid"}
    return Candidate(str(uid or place), structure, source, properties)


def _no_structure(path: Path, name: str) -> Rejected:
    """Tell an empty file from one that holds something else, such as a CIF that is cut short."""
    with path.open("rb") as file:
        if not any(block.strip() for block in iter(lambda: file.read(2**16), b"")):
            return Rejected(name, "empty", "the file is empty")
    return Rejected(name, "unreadable", "no complete structure in the file; is it cut short?")


def _read_json(path: Path, name: str) -> Iterator[Candidate | Rejected]:
    """Structures of ASE's JSON database form (C2DB's JSON), or one that pymatgen has stored."""
    try:
        check_json(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "@class" in content:
            yield Candidate(_place(path, name), _from_pymatgen(content), name)
            return
        rows = list(database.candidates(path))
    except OSError:
        raise
    except BadStructure as error:
        yield Rejected(name, error.reason, str(error))
        return
    except DefectpoolError:
        yield Rejected(name, "unreadable", "neither ASE's JSON nor pymatgen's")
        return
    except Exception as error:  # as above
        yield Rejected(name, "unreadable", in_words(error))
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
            str(k): {str(species): float(share) for species, share in site.species.items()}
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
    """Properties that C2DB's tree has beside a structure, in `data.json`."""
    facts = path.with_name(C2DB_PROPERTIES)
    if path.name not in C2DB_STRUCTURES or not facts.is_file():
        return {}
    try:
        check_json(facts)
        content = json.loads(facts.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        return {}
    return database.scalars(content) if isinstance(content, dict) else {}


def _place(path: Path, name: str) -> str:
    """Id that a file's place gives: a C2DB uid in C2DB's trees, else its path joined by dots."""
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
