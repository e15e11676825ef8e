"""Damaged CIF, POSCAR, JSON and database rows: valid hosts, or rejected with a reason.

Each damaged structure passes through the whole selection.
"""

import csv
import io
import json
import sqlite3
import string
import tempfile
from contextlib import closing
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import mx2
from ase.data import covalent_radii
from ase.db import connect
from ase.neighborlist import neighbor_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import embedded
from defectpool.materials.host import NAME, Host, read_hosts
from defectpool.materials.select import select_hosts

HOSTS = list(embedded.hosts())[::9]
EXAMPLES = 720
ODD = [
    *("nan", "inf", "-inf", "0", "-0", "1e308", "1e-308", "-1", "1e9", "999999999999", "0.5"),
    *("1/3", "-7.5", "1e5", "0.0001", "180", "90", "120", "60", "?", ".", "''", '"', "\\", ";"),
    *("#", "T", "F", "Xx", "D", "Og", "U", "H", "X", "None", "true", "null", "{", "}", "[", "]"),
    *("_loop", "loop_", "data_", "\x00", "é", "ﬁ"),
]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # avoids thousands of slow fsyncs
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def text_of(host: Host, form: str) -> str:
    file = io.BytesIO() if form == "cif" else io.StringIO()
    ase.io.write(file, host.atoms, format=form)
    content = file.getvalue()
    return content.decode() if isinstance(content, bytes) else content


TEXTS = {form: [text_of(host, form) for host in HOSTS] for form in ("cif", "vasp", "json")}


def words(text: str) -> list[tuple[int, int]]:
    """Begin and end of the words of a text, separated by blanks or by JSON's marks."""
    marks = string.whitespace + ",:[]{}\"'"
    spans, begin = [], None
    for k, letter in enumerate(text + " "):
        if letter in marks and begin is not None:
            spans.append((begin, k))
            begin = None
        elif letter not in marks and begin is None:
            begin = k
    return spans


@st.composite
def damaged_text(draw, form: str) -> bytes:
    text = draw(st.sampled_from(TEXTS[form]))
    for _ in range(draw(st.integers(1, 3))):
        change = draw(
            st.sampled_from(["word", "word", "word", "cut", "drop", "twice", "swap", "flip"])
        )
        spans = words(text)
        lines = text.splitlines(keepends=True)
        if change == "word" and spans:
            begin, end = draw(st.sampled_from(spans))
            text = text[:begin] + draw(st.sampled_from(ODD)) + text[end:]
        elif change == "cut":
            text = text[: draw(st.integers(0, len(text)))]
        elif lines and change in ("drop", "twice", "swap"):
            one, two = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if change == "drop":
                del lines[one]
            elif change == "twice":
                lines.insert(two, lines[one])
            else:
                lines[one], lines[two] = lines[two], lines[one]
            text = "".join(lines)
        elif text:
            place = draw(st.integers(0, len(text) - 1))
            text = text[:place] + draw(st.characters()) + text[place + 1 :]
    return text.encode("utf-8", draw(st.sampled_from(["replace", "surrogatepass"])))


def check_outcome(folder: Path, put_in: int) -> None:
    """Every structure is in a table, and each selected host is valid by simple checks."""
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = list(csv.DictReader(file))
    assert all(row["id"] and row["reason"] for row in rejected)
    hosts = read_hosts(folder / "hosts" / "000.xyz")
    assert len(hosts) + len(rejected) >= put_in
    again = ase.io.read(folder / "hosts" / "000.xyz", index=":") if hosts else []
    for host, atoms in zip(hosts, again, strict=True):
        assert NAME.fullmatch(host.id)
        assert (atoms.positions == host.atoms.positions).all()
        assert np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
        assert atoms.pbc.tolist() == [True, True, False]
        assert atoms.cell[0, 1] == atoms.cell[0, 2] == atoms.cell[1, 2] == 0
        assert (atoms.cell[2, :2] == 0).all() and (np.diag(atoms.cell.array) > 0).all()
        z = atoms.positions[:, 2]
        assert atoms.cell[2, 2] - (z.max() - z.min()) >= 8.0 - 1e-9
        assert abs(z.max() + z.min() - atoms.cell[2, 2]) < 1e-6
        i, j, d = neighbor_list("ijd", atoms, 2.7)
        assert (
            d >= 0.499 * (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])
        ).all()
        assert (atoms.numbers >= 1).all() and (atoms.numbers <= 100).all()


def run_stage(source: str, path: Path, put_in: int) -> None:
    settings_ = MaterialsSettings(source=source, path=str(path))
    with tempfile.TemporaryDirectory(dir=MEMORY) as out:
        try:
            summary = select_hosts(settings_, 1, Path(out))
        except DefectpoolError as error:
            assert str(error).startswith("no host is left of the ")
        else:
            assert summary.seen == summary.selected + sum(summary.rejected.values()) >= put_in
            check_outcome(Path(out), put_in)


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(TEXTS))
def test_damaged_files(form: str, tmp_path) -> None:
    tried: set[bytes] = set()

    @FUZZ
    @given(damaged_text(form))
    def damage(content: bytes) -> None:
        tried.add(content)
        path = tmp_path / f"host.{form}"
        path.write_bytes(content)
        run_stage("files", path, 1)

    damage()
    assert len(tried) >= 500


ROWS = {
    "numbers": [b"", b"\x00" * 4, b"\x2a\x00\x00", b"\xff" * 8, None, "text", 7],
    "positions": [b"", b"\x00" * 24, b"\xff" * 72, b"\x00" * 7, None, "text", 1.5],
    "cell": [b"", b"\x00" * 72, b"\xff" * 72, b"\x00" * 9, None, "text"],
    "pbc": [None, 0, 1, 2, 4, 5, 6, 7, 99, -1, "T T F", b"\x07"],
    "key_value_pairs": [
        "",
        "{",
        "[]",
        "null",
        '{"uid": ""}',
        '{"uid": 3}',
        '{"uid": "../../etc/passwd"}',
        '{"uid": "\\ud800"}',
        '{"uid": "same"}',
        '{"uid": null, "ehull": "much"}',
        '{"ehull": NaN, "a b=c": "d\\"\\ne", "pbc": "T", "Lattice": 1, "": 2}',
        '{"energy": 1.0, "lgnum": "x", "layergroup": 7, "dyn_stab": []}',
        None,
        b"\xff\xfe",
        5,
    ],
    "unique_id": [None, "same"],
    "constraints": ["{", b"\x00", "[1]"],
    "calculator_parameters": ["{", "[", b"\x00"],
    "natoms": [None, -1, "x"],
}


@st.composite
def damaged_row(draw) -> tuple[int, list[tuple[str, object]]]:
    changes = []
    for _ in range(draw(st.integers(1, 3))):
        column = draw(st.sampled_from(sorted(ROWS)))
        value = draw(st.sampled_from(ROWS[column]))
        if column in ("positions", "cell") and draw(st.booleans()):
            numbers = draw(st.lists(st.floats(width=64), min_size=9, max_size=9))
            value = np.array(numbers).tobytes()
        if column == "numbers" and draw(st.booleans()):
            elements = draw(st.lists(st.integers(-2, 130), min_size=1, max_size=6))
            value = np.array(elements, dtype=np.int32).tobytes()
        changes.append((column, value))
    return draw(st.integers(0, len(HOSTS) - 1)), changes


@pytest.mark.slow
def test_damaged_rows(tmp_path) -> None:
    whole = []
    for number, host in enumerate(HOSTS):
        with connect(tmp_path / f"{number}.db") as rows:
            rows.write(mx2("MoS2", vacuum=8), uid="same")
            rows.write(host.atoms, uid=host.id, ehull=0.1)
        whole.append((tmp_path / f"{number}.db").read_bytes())
    tried: set[str] = set()

    @FUZZ
    @given(damaged_row())
    def damage(row: tuple[int, list[tuple[str, object]]]) -> None:
        tried.add(json.dumps(row, default=repr))
        path = tmp_path / "damaged.db"
        path.write_bytes(whole[row[0]])
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous = OFF")
            for column, value in row[1]:
                statement = f"UPDATE OR IGNORE systems SET {column} = ? WHERE id = 2"
                database.execute(statement, (value,))
            database.commit()
        run_stage("database", path, 2)

    damage()
    assert len(tried) >= 500
