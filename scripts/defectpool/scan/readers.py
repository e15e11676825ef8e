"""Structures of a file, one after the other, read without executing anything.

ASE reads most formats; pymatgen reads its own, and CIF where ASE gives up. The JSON of pymatgen is
read here, because its own decoder imports whatever module the file names.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms

from defectpool.scan import formats
from defectpool.scan.formats import UnreadableError
from defectpool.scan.result import Limits

CHUNK = 1 << 20
FULL = 0.999  # an occupancy above it is whole
DAMAGE = (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)
PATIENT_CIF = 1_000_000  # bytes; pymatgen's slower parser is asked for smaller files only


def read(path: Path, name: str, limits: Limits) -> Iterator[Atoms | UnreadableError]:
    """Structures of a file, or the reason why one cannot be read, in their order.

    Parameters
    ----------
    path
        A regular file, compressed or not; no archive.
    name
        What the file is called, where that is not its path.
    limits
        Bounds on bytes and atoms; larger files are refused before they are parsed.

    Yields
    ------
    Atoms or UnreadableError
        Nothing is raised for a bad file: the reason is the last item.
    """
    found = ""
    try:
        with uncompressed(path, limits) as plain:
            head = first_bytes(plain)
            found = formats.detect(name, head)
            _check_head(found, plain, head, limits)
            for structure in _frames(found, plain):
                yield checked(structure, limits)
    except UnreadableError as reason:
        yield reason
    except MemoryError:
        yield UnreadableError(f"reading needs more than {limits.memory / 1e9:g} GB of memory")
    except Exception as error:  # parsers raise whatever a damaged file provokes
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        yield UnreadableError(one_line(f"damaged {found} file ({said})"))


def one_line(text: str, width: int = 200) -> str:
    """Return a text on one line without control characters, cut to a width."""
    line = " ".join(printable(text, " ").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def printable(text: str, instead: str = "?") -> str:
    """Return a text with another character for each that cannot be printed (control, no UTF-8)."""
    return "".join(c if c.isprintable() else instead for c in text)


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, by which its format is told."""
    with path.open("rb") as file:
        return file.read(formats.HEAD)


@contextmanager
def uncompressed(path: Path, limits: Limits) -> Iterator[Path]:
    """Path of the uncompressed content, which is a temporary file where it has to be made.

    Raises
    ------
    UnreadableError
        Where the content is larger than the limit or the compressed data is damaged.
    """
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise UnreadableError(too_large(f"the file has {size / 1e6:,.0f} MB", limits))
    packed = formats.compression(first_bytes(path))
    if not packed:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="defectpool-") as folder:
        plain = Path(folder) / "structure"
        try:
            with opener(packed)(path) as source, plain.open("wb") as target:
                copy(source, target, limits)
        except DAMAGE as error:
            raise UnreadableError(one_line(f"damaged {packed} file: {error}")) from None
        yield plain


def opener(packed: str) -> Callable[[Path], IO[bytes]]:
    """Return the function that opens a compressed file for reading."""
    if packed == "zstandard":
        try:
            import zstandard  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise UnreadableError(
                "a Zstandard file: install the package zstandard, or decompress the file"
            ) from None
        return lambda path: zstandard.open(path, "rb")
    known: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    return known[packed]


def copy(source: IO[bytes], target: IO[bytes], limits: Limits) -> None:
    """Copy a stream, no further than the limit.

    Raises
    ------
    UnreadableError
        Where the stream is longer: a decompression bomb ends here.
    """
    total = 0
    while chunk := source.read(CHUNK):
        total += len(chunk)
        if total > limits.file_bytes:
            raise UnreadableError(too_large("the decompressed content is larger", limits))
        target.write(chunk)


def checked(structure: Atoms | UnreadableError, limits: Limits) -> Atoms | UnreadableError:
    """Return the structure alone (no calculators, no extra arrays), or what is wrong with it."""
    if isinstance(structure, UnreadableError):
        return structure
    count = len(structure)
    if not count:
        return UnreadableError("the structure has no atoms")
    if count > limits.atoms:
        return UnreadableError(_too_many(count, limits))
    if not (np.isfinite(structure.positions).all() and np.isfinite(structure.cell.array).all()):
        return UnreadableError("positions or cell vectors are not finite numbers")
    if np.any(structure.numbers < 1):
        row = int(np.argmin(structure.numbers))
        return UnreadableError(f"atom {row} is of no element ({structure.symbols[row]})")
    if (partial := _partial_occupancy(structure)) is not None:
        return UnreadableError(partial)
    return Atoms(
        structure.numbers, structure.positions, cell=structure.cell.array, pbc=structure.pbc
    )


def too_large(what: str, limits: Limits) -> str:
    """Return the reason for refusing a file of too many bytes."""
    return f"{what}; the limit is {limits.file_bytes / 1e6:,.0f} MB (--max-size)"


def _too_many(count: int, limits: Limits) -> str:
    return f"{count:,} atoms; the limit is {limits.atoms:,} (--max-atoms)"


def _check_head(found: str, path: Path, head: bytes, limits: Limits) -> None:
    """Refuse what lacks elements or announces too many atoms, before it is parsed."""
    if found.startswith("lammps") and not formats.names_elements(found, head):
        raise UnreadableError(
            "a LAMMPS file that names no elements: give a section Masses (data) or a column "
            "element (dump)"
        )
    count = formats.announced_atoms(found, head)
    if count > limits.atoms:
        raise UnreadableError(_too_many(count, limits))
    if found == "cif":
        with path.open("rb") as file:
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b""))
        if lines > limits.atoms:
            raise UnreadableError(
                f"a CIF of {lines:,} lines; the limit is {limits.atoms:,} atoms (--max-atoms)"
            )


def _frames(found: str, path: Path) -> Iterator[Atoms | UnreadableError]:
    if found == "db":
        return _rows(path)
    if found == "json":
        return _from_json(path)
    if found == "yaml":
        return _from_yaml(path)
    if found.startswith("pymatgen:"):
        return iter([_from_pymatgen(path, found.partition(":")[2])])
    if found == "cif":
        return _from_cif(path)
    return _from_ase(path, found)


def _from_ase(path: Path, found: str) -> Iterator[Atoms]:
    """Read with ASE; bytes that are no UTF-8 (a comment in Latin-1) do no harm."""
    from ase.io.formats import ioformats, iread

    form = ioformats[found]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not form.acceptsfd:
            yield from iread(
                str(path), ":", format=found, parallel=False, do_not_split_by_at_sign=True
            )
        elif form.isbinary:
            with path.open("rb") as binary:
                yield from iread(binary, ":", format=found, parallel=False)
        else:
            with path.open(encoding="utf-8-sig", errors="replace") as text:
                yield from iread(text, ":", format=found, parallel=False)


def _from_cif(path: Path) -> Iterator[Atoms]:
    try:
        structures = list(_from_ase(path, "cif"))
        if structures:
            return iter(structures)
        failure: Exception = ValueError("no structure in the CIF")
    except Exception as error:  # ASE's parser knows fewer dialects than pymatgen's
        failure = error
    if path.stat().st_size > PATIENT_CIF:
        raise failure
    try:
        return iter([_from_pymatgen(path, "cif")])
    except UnreadableError:
        raise
    except Exception:
        raise failure from None


def _from_pymatgen(path: Path, form: str) -> Atoms:
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        structure = Structure.from_str(text, fmt=form)  # type: ignore[arg-type]
    return from_pymatgen(structure)


def from_pymatgen(structure: Any) -> Atoms:
    """ASE structure of a pymatgen `Structure`.

    Raises
    ------
    UnreadableError
        Where sites are partially occupied.
    """
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        raise UnreadableError(_disorder(site.species.as_dict()))
    return Atoms(
        [site.specie.Z for site in structure],
        structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=structure.lattice.pbc,
    )


def _rows(path: Path) -> Iterator[Atoms | UnreadableError]:
    """Rows of an ASE database, SQLite or JSON; a bad row does not end it."""
    from defectpool.materials import database
    from defectpool.materials.host import Rejected

    for row in database.candidates(path):
        if isinstance(row, Rejected):
            yield UnreadableError(one_line(row.message))
        else:
            yield row.atoms


def _from_json(path: Path) -> Iterator[Atoms | UnreadableError]:
    """JSON of pymatgen, else of an ASE database, else of a single ASE object."""
    import orjson

    content = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if found := list(_pymatgen_dicts(content)):
        return (_from_dict(item) for item in found)
    if isinstance(content, dict) and content.get("__ase_objtype__") == "atoms":
        return iter([_ase_object(path)])
    if isinstance(content, dict) and "ids" in content:
        return _rows(path)
    raise UnreadableError("JSON without a structure of ASE or pymatgen")


def _from_yaml(path: Path) -> Iterator[Atoms | UnreadableError]:
    from ruamel.yaml import YAML

    found = list(_pymatgen_dicts(YAML(typ="safe", pure=True).load(path)))
    if not found:
        raise UnreadableError("YAML without a structure of pymatgen")
    return (_from_dict(item) for item in found)


def _ase_object(path: Path) -> Atoms:
    from ase.io.jsonio import decode

    found = decode(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, Atoms):
        raise UnreadableError("JSON without a structure of ASE or pymatgen")
    return found


def _pymatgen_dicts(content: Any, depth: int = 3) -> Iterator[dict[str, Any]]:
    """Return structures as dictionaries: alone, in a list, or as the `structure` of an entry."""
    if isinstance(content, list) and depth:
        for item in content:
            yield from _pymatgen_dicts(item, depth - 1)
    elif isinstance(content, dict):
        if "lattice" in content and "sites" in content:
            yield content
        elif "structure" in content and depth:
            yield from _pymatgen_dicts(content["structure"], depth - 1)


def _from_dict(content: dict[str, Any]) -> Atoms | UnreadableError:
    """ASE structure of pymatgen's dictionary."""
    lattice = content["lattice"]
    cell = np.array(lattice["matrix"], dtype=float)
    symbols: list[str] = []
    for site in content["sites"]:
        shares = {str(s.get("element", s)): float(s.get("occu", 1.0)) for s in site["species"]}
        if len(shares) != 1 or min(shares.values()) < FULL:
            return UnreadableError(_disorder(shares))
        symbols += shares
    positions = np.array([site["abc"] for site in content["sites"]], dtype=float) @ cell
    return Atoms(symbols, positions, cell=cell, pbc=lattice.get("pbc", True))


def _partial_occupancy(structure: Atoms) -> str | None:
    """Return what is partially occupied in a structure that came from a CIF."""
    for shares in structure.info.get("occupancy", {}).values():
        if len(shares) > 1 or sum(shares.values()) < FULL:
            return _disorder(shares)
    return None


def _disorder(shares: dict[str, float]) -> str:
    listed = ", ".join(f"{symbol} {share:g}" for symbol, share in shares.items())
    return f"a site is partially occupied ({listed}): give an ordered structure"


def save_stream(source: IO[bytes], target: Path, limits: Limits) -> None:
    """Save a stream (standard input, a member of an archive) to a file, within the limit."""
    with target.open("wb") as file:
        copy(source, file, limits)
