"""Hostile files: each ends with one clear reason, in seconds and without filling the memory.

Each case runs in a forked process, whose time and memory are measured.
"""

import bz2
import csv
import gzip
import io
import lzma
import multiprocessing
import os
import signal
import sqlite3
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import ase.io
import psutil
import pytest
from ase.build import mx2
from ase.db import connect

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import archive
from defectpool.materials.select import select_hosts

SECONDS, GIGABYTE = 10, 2**30
LAYER = mx2("MoS2", vacuum=8)


def text_of(form: str) -> str:
    file = io.BytesIO() if form == "cif" else io.StringIO()
    ase.io.write(file, LAYER, format=form)
    content = file.getvalue()
    return content.decode() if isinstance(content, bytes) else content


CIF, POSCAR, XYZ, JSON = (text_of(form) for form in ("cif", "vasp", "extxyz", "json"))
HEAD = CIF[: CIF.index("  Mo  Mo1")]
CELL = "  3.2 0 0\n  0 3.2 0\n  0 0 20\n"
FRAME = '{}\nLattice="3 0 0 0 3 0 0 0 20" Properties=species:S:1:pos:R:3 pbc="T T F"\n{}'


def cif_rows(count: int) -> str:
    return "".join(
        f"  Mo  Mo{i}  1.0  {i % 997}e-3  {i % 991}e-3  0.5  1.0000\n" for i in range(count)
    )


def poscar(title="x", scale="1.0", cell=CELL, species="Mo", counts="1", rows="0 0 0.5\n") -> str:
    return f"{title}\n{scale}\n{cell}{species}\n{counts}\nDirect\n{rows}"


OPERATIONS = "loop_\n_space_group_symop_operation_xyz\n" + "'x, y, z'\n" * 192 + "\n"

# name: (content, reason in rejected.csv)
FILES: dict[str, tuple[str | bytes, str]] = {
    "empty.cif": (b"", "empty"),
    "blank.cif": (b"\n \r\n\t\n" * 100, "empty"),
    "nul.cif": (bytes(1000), "unreadable"),
    "half.cif": (CIF[:200], "unreadable"),
    "half_row.cif": (CIF[: CIF.rindex("0.5")], "unreadable"),
    "no_block.cif": ("hello\n_atom_site_label x\n", "unreadable"),
    "binary.cif": (bytes(range(256)) * 40, "unreadable"),
    "million.cif": (HEAD + cif_rows(1_000_000), "too_large"),
    "just_over.cif": (HEAD + cif_rows(2001), "too_large"),
    "operations.cif": (
        CIF.replace("loop_\n  _atom", OPERATIONS + "loop_\n  _atom") + cif_rows(600),
        "too_large",
    ),
    "group.cif": (
        HEAD.replace('"P 1"', '"F m -3 m"')
        .split("loop_")[0]
        .replace("IT_number       1", "IT_number       225")
        + "loop_"
        + HEAD.split("loop_")[2]
        + cif_rows(1900),
        "too_large",
    ),
    "zero_cell.cif": (CIF.replace("3.18", "0.0"), "unreadable"),
    "nan_cell.cif": (CIF.replace("3.18", "nan"), "not_finite"),
    "angles.cif": (CIF.replace("90.0", "10.0"), "unreadable"),
    "huge_cell.cif": (CIF.replace("19.19", "1e308"), "too_large"),
    "infinite.cif": (CIF.replace("0.6666666666666666", "inf"), "unreadable"),
    "element.cif": (CIF.replace("Mo", "Xx"), "unreadable"),
    "shared.cif": (CIF.replace("1.0000", "0.5000"), "partial_occupancy"),
    "blocks.cif": ("data_\n" * 1_000_000, "unreadable"),
    "text_field.cif": ("data_x\n_a\n;\n" + "loop_\n" * 1_000_000, "unreadable"),
    "long_line.cif": ("data_x\n_atom_site_" + "x" * 20_000_000, "too_large"),
    "utf16.cif": (CIF.encode("utf-16"), "unreadable"),
    "empty.vasp": (b"", "empty"),
    "nul.vasp": (bytes(5000), "unreadable"),
    "latin1.vasp": (poscar(title="1 Å").encode("latin-1"), "unreadable"),
    "trillion.vasp": (poscar(counts="999999999999"), "too_large"),
    "sum.vasp": (poscar(species="Mo S", counts="1500 1500"), "too_large"),
    "digits.vasp": (poscar(counts="9" * 10_000), "too_large"),
    "negative.vasp": (poscar(counts="-1"), "unreadable"),
    "words.vasp": (poscar(counts="one"), "unreadable"),
    "no_count.vasp": (poscar(counts=""), "empty"),
    "no_atoms.vasp": (poscar(counts="0", rows=""), "empty"),
    "zero_scale.vasp": (poscar(scale="0.0"), "molecule"),
    "zero_cell.vasp": (poscar(cell="0 0 0\n" * 3), "molecule"),
    "flat_cell.vasp": (poscar(cell="1 0 0\n" * 3), "zero_volume"),
    "nan_cell.vasp": (poscar(cell="nan 0 0\n0 nan 0\n0 0 nan\n"), "not_finite"),
    "cut.vasp": (poscar(counts="3"), "unreadable"),
    "element.vasp": (poscar(species="Xx"), "unreadable"),
    "heavy.vasp": (poscar(species="Og"), "unknown_element"),
    "title.vasp": (poscar(title="x" * 20_000_000), "too_large"),
    "utf16.vasp": (POSCAR.encode("utf-16"), "unreadable"),
    "empty.xyz": (b"", "empty"),
    "trillion.xyz": (FRAME.format("999999999999", "Mo 0 0 0\n"), "too_large"),
    "just_over.xyz": (FRAME.format("2001", "Mo 0 0 0\n" * 2001), "too_large"),
    "negative.xyz": (FRAME.format("-5", "Mo 0 0 0\n"), "unreadable"),
    "zero.xyz": (FRAME.format("0", ""), "empty"),
    "nan.xyz": (FRAME.format("1", "Mo nan 0 0\n"), "not_finite"),
    "lattice.xyz": (XYZ.replace('Lattice="3.18', 'Lattice="what'), "unreadable"),
    "zero_cell.xyz": (
        FRAME.format("1", "Mo 0 0 0\n").replace("3", "0").replace("20", "0"),
        "unreadable",
    ),
    "latin1.xyz": (
        FRAME.format("1", "Mo 0 0 0\n").replace("pbc", "a=Å pbc").encode("latin-1"),
        "unreadable",
    ),
    "cut.xyz": (FRAME.format("5", "Mo 0 0 0\n"), "unreadable"),
    "columns.xyz": (FRAME.format("1", "Mo 0 0 0\n").replace("R:3", "R:999999999"), "too_large"),
    "element.xyz": (FRAME.format("1", "Xx 0 0 0\n"), "unreadable"),
    "comment.xyz": (f"1\n{'x' * 20_000_000}\nMo 0 0 0\n", "too_large"),
    "digits.xyz": ("9" * 10_000 + "\n\n", "too_large"),
    "words.xyz": ("hello\nworld\n", "unreadable"),
    "nested.json": ("[" * 200_000, "unreadable"),
    "values.json": ("[" + "[]," * 6_000_000 + "0]", "too_large"),
    "list.json": ("[1, 2]", "unreadable"),
    "half.json": (JSON[: len(JSON) // 2], "unreadable"),
    "latin1.json": ('{"a": "Å"}'.encode("latin-1"), "unreadable"),
    "class.json": (
        '{"@module": "os", "@class": "system", "command": "touch hacked"}',
        "unreadable",
    ),
    "shape.json": (
        JSON.replace("[3, 3]", "[3000000, 3000000]").replace("[[3, 3]", "[[999999, 99999]"),
        "unreadable",
    ),
    "null.json": ("null", "unreadable"),
}


def alone(function: Callable[..., object], *arguments: object) -> tuple[object, float, int]:
    """Run a function in a forked process; its result, its seconds and what memory it adds in bytes.

    That is its peak, less what this process, of which it is a copy, holds already.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    held = psutil.Process().memory_info().rss
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(3 * SECONDS)
            sender.send(function(*arguments))
        except BaseException as error:
            sender.send(error)
        finally:
            os._exit(0)
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        result = TimeoutError("the process ended without a result")
    _, _, usage = os.wait4(child, 0)
    return result, time.monotonic() - started, usage.ru_maxrss * 1024 - held


def outcome(source: str, path: str, out: Path) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Ids that were selected, and rows of the rejected."""
    select_hosts(MaterialsSettings(source=source, path=path), 1, out)
    with (out / "selected.csv").open(encoding="utf-8", newline="") as file:
        selected = [row["id"] for row in csv.DictReader(file)]
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], row["reason"], row["message"]) for row in csv.DictReader(file)]
    return selected, rows


def check(source: str, path: Path, out: Path) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Return the outcome of a selection, after a check of time and memory."""
    result, seconds, memory = alone(outcome, source, str(path), out)
    if isinstance(result, BaseException):
        assert isinstance(result, DefectpoolError), repr(result)
        result = ([], [("", "", str(result))])
    assert seconds < SECONDS and memory < GIGABYTE, f"{seconds:.1f} s, {memory / 1e6:.0f} MB"
    for *_, message in result[1]:
        assert message and "\n" not in message and len(message) < 500
    return result


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_has_one_reason(name: str, tmp_path: Path) -> None:
    content, reason = FILES[name]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.cif").write_text(CIF)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    selected, rows = check("files", folder, tmp_path / "out")
    assert selected == ["good"]
    assert [(row[0].partition("#")[0], row[1]) for row in rows] in (
        [(name, reason)],
        [(Path(name).stem, reason)],  # a structure that was read has an id
    ), rows


def fifo(path: Path) -> None:
    os.mkfifo(path)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe.cif": fifo,
    "lost.cif": lambda path: path.symlink_to("nowhere"),
    "loop.cif": lambda path: path.symlink_to(path),
    "zero.cif": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_file_has_one_reason(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.cif").write_text(CIF)
    SPECIAL[name](folder / name)
    selected, rows = check("files", folder, tmp_path / "out")
    assert selected == ["good"] and [row[:2] for row in rows] == [(name, "not_a_file")]


def add(tar: tarfile.TarFile, name: str, content: bytes = XYZ.encode(), **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def tar_with(name: str, **fields: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "x.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as tar:
            add(tar, "good.xyz")
            add(tar, name, **fields)
        return folder / "x.tar.gz"

    return make


def zip_with(name: str, content: bytes = XYZ.encode(), mode: int = 0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("good.xyz", XYZ)
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            file.writestr(info, content)
        return folder / "x.zip"

    return make


def folder_and_file(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar", "w") as tar:
        add(tar, "good.xyz")
        add(tar, "z.xyz/POSCAR", POSCAR.encode())
        add(tar, "z.xyz")
    return folder / "x.tar"


def file_and_folder(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar", "w") as tar:
        add(tar, "good.xyz")
        add(tar, "z.xyz")
        add(tar, "z.xyz/POSCAR", POSCAR.encode())
    return folder / "x.tar"


# name: (maker, reason of the member that is left out)
MEMBERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "long name in tar": (tar_with("a" * 300 + ".xyz"), "bad_name"),
    "long name in zip": (zip_with("a" * 300 + ".xyz"), "bad_name"),
    "long path in tar": (tar_with("a/" * 3000 + "a.xyz"), "bad_name"),
    "file and folder": (file_and_folder, "bad_name"),
    "folder and file": (folder_and_file, "bad_name"),
    "above the folder": (tar_with("../up.xyz"), "unsafe_path"),
    "absolute": (tar_with("/tmp/absolute.xyz"), "unsafe_path"),
    "Windows drive": (zip_with("C:/x.xyz"), "unsafe_path"),
    "backslashes": (zip_with("..\\..\\x.xyz"), "unsafe_path"),
    "link in zip": (zip_with("link.xyz", b"/etc/passwd", 0o120777), "unsafe_path"),
    "symbolic link": (
        tar_with("l.xyz", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "unsafe_path",
    ),
    "hard link": (tar_with("l.xyz", type=tarfile.LNKTYPE, linkname="good.xyz"), "unsafe_path"),
    "device": (tar_with("l.xyz", content=b"", type=tarfile.CHRTYPE), "unsafe_path"),
    "pipe": (tar_with("l.xyz", content=b"", type=tarfile.FIFOTYPE), "unsafe_path"),
    "zip bomb": (zip_with("bomb.xyz", bytes(archive.MAX_FILE + 1)), "too_large"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_hostile_member_is_left_out_alone(name: str, tmp_path: Path) -> None:
    maker, reason = MEMBERS[name]
    selected, rows = check("files", maker(tmp_path), tmp_path / "out")
    assert "good" in selected and [row[1] for row in rows if row[1] != "duplicate_structure"] == [
        reason
    ], rows


def changed_zip(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = zip_with("other.xyz")(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def cut_tar(folder: Path) -> Path:
    path = tar_with("other.xyz", content=os.urandom(50_000))(folder)
    path.write_bytes(path.read_bytes()[:20_000])
    return path


def tar_bomb(folder: Path) -> Path:
    """Claim a member of 1 TB, after its first 300 MB of zeros."""
    with gzip.open(folder / "x.tgz", "wb", compresslevel=1) as file:
        member = tarfile.TarInfo("README")
        member.size = 10**12
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(300):
            file.write(bytes(2**20))
    return folder / "x.tgz"


def nested_archives(folder: Path) -> Path:
    inner = zip_with("other.xyz")(folder).read_bytes()
    return zip_of(folder, {f"{i}.zip": inner for i in range(9)})


def zip_of(folder: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "y.zip", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return folder / "y.zip"


def database(folder: Path, change: Callable[[sqlite3.Connection], object]) -> Path:
    with connect(folder / "x.db") as rows:
        rows.write(LAYER, uid="good")
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        change(connection)
        connection.commit()
    return folder / "x.db"


def executed(script: str) -> Callable[[Path], Path]:
    return lambda folder: database(folder, lambda connection: connection.executescript(script))


def endless_view(folder: Path) -> Path:
    return executed(
        "ALTER TABLE systems RENAME TO s; CREATE VIEW systems AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT s.*, i AS j FROM s, n;"
    )(folder)


def cut_database(folder: Path) -> Path:
    path = executed("SELECT 1;")(folder)
    path.write_bytes(path.read_bytes()[:5000])
    return path


# name: (source, maker, what the message says)
SOURCES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "cut tar.gz": ("files", cut_tar, "is damaged"),
    "cut zip": ("files", changed_zip(lambda b: b[: len(b) // 2]), "is damaged"),
    "wrong checksum": (
        "files",
        changed_zip(lambda b: b.replace(b"good.xyz", b"good.xyz", 1)[:60] + bytes(40) + b[100:]),
        "is damaged",
    ),
    "encrypted zip": (
        "files",
        changed_zip(
            lambda b: b.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
                b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
            )
        ),
        "is damaged",
    ),
    "text in zip": ("files", written("x.zip", b"hello"), "is damaged"),
    "text in tar": ("files", written("x.tar", b"hello" * 1000), "is damaged"),
    "empty tar": ("files", written("x.tar", b""), "is damaged"),
    "zeros in tar": ("files", written("x.tar", bytes(10_240)), "there is no structure"),
    "noise in xz": ("files", written("x.tar.xz", lzma.compress(b"x" * 5000)[:60]), "is damaged"),
    "bzip in gz": ("files", written("x.tar.gz", bz2.compress(b"x" * 5000)), "is damaged"),
    "tar bomb": ("files", tar_bomb, "unpacks to more than 200 times its size"),
    "nested archives": ("files", nested_archives, "there is no structure"),
    "empty zip": ("files", lambda folder: zip_of(folder, {}), "there is no structure"),
    "table of contents": (
        "files",
        written("x.zip", b"PK\x05\x06" + bytes(8) + b"\xf0" * 4 + bytes(6)),
        "too many members",
    ),
    "unknown format": ("files", written("x.py", b"import os"), "no CIF"),
    "device": ("files", lambda folder: Path("/dev/zero"), "device"),
    "folder without structures": ("files", lambda folder: folder, "no CIF"),
    "empty database": ("database", written("x.db", b""), "not an ASE database"),
    "text for a database": ("database", written("x.db", b"hello"), "not an ASE database"),
    "header of a database": (
        "database",
        written("x.db", b"SQLite format 3\0" + bytes(84)),
        "not an ASE database",
    ),
    "cut database": ("database", cut_database, "not an ASE database|no host is left"),
    "other database": (
        "database",
        executed("DROP TABLE systems; CREATE TABLE t (x);"),
        "not an ASE database",
    ),
    "endless view": ("database", endless_view, "not an ASE database"),
    "huge row": (
        "database",
        executed("UPDATE systems SET numbers = zeroblob(30000000);"),
        "too_large 1",
    ),
    "endless column": (
        "database",
        executed(
            "DROP TABLE systems; CREATE TABLE systems (id INTEGER, numbers BLOB AS "
            "(zeroblob(900000000))); INSERT INTO systems (id) VALUES (1);"
        ),
        "not an ASE database",
    ),
    "values in a JSON database": (
        "database",
        written("x.json", b"[" + b"[]," * 6_000_000 + b"0]"),
        "not an ASE database",
    ),
    "nested JSON database": ("database", written("x.json", b"[" * 200_000), "not an ASE database"),
    "folder for a database": ("database", lambda folder: folder, "there is no file"),
    "device for a database": ("database", lambda folder: Path("/dev/zero"), "there is no file"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_hostile_source_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    source, maker, message = SOURCES[name]
    selected, rows = check(source, maker(tmp_path), tmp_path / "out")
    assert not selected and len(rows) == 1
    assert any(words in rows[0][2] for words in message.split("|")), rows[0][2]
