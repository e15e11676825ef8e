"""Sources of hosts: which changes select them again, and which errors stop before any job."""

import shutil
from pathlib import Path

import ase.io
import pytest
from ase.build import graphene, mx2

from .conftest import Clone

TARGET = "results/structures/vacancy/2x2/000.skipped.csv"


def write_hosts(folder: Path) -> None:
    folder.mkdir()
    ase.io.write(folder / "MoS2.cif", mx2("MoS2", vacuum=8))
    ase.io.write(folder / "C.vasp", graphene(vacuum=8))


def configure(clone: Clone, path: Path | str, **keys: object) -> None:
    materials = {"source": "files", "path": str(path), **keys}
    clone.configure(materials=materials, defects=["vacancy"], supercells=["2x2"])


def run(clone: Clone, *options: str) -> str:
    done = clone.run(*options, "--configfile", "my.yaml", "--", TARGET)
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == ("-n" in options or "error" not in text.lower()), text
    return text


@pytest.fixture
def selected(clone, tmp_path) -> tuple[Clone, Path]:
    """Return a clone with structures of the hosts of a folder."""
    write_hosts(tmp_path / "layers")
    configure(clone, tmp_path / "layers")
    run(clone)
    assert (clone.folder / TARGET).is_file()
    assert "Nothing to be done" in run(clone, "-n")
    return clone, tmp_path / "layers"


def test_the_files_of_a_folder_are_watched(selected):
    clone, layers = selected
    (layers / "C.vasp").touch()
    assert "Nothing to be done" in run(clone, "-n")
    ase.io.write(layers / "WS2.cif", mx2("WS2", vacuum=8))
    assert "select_materials" in run(clone, "-n")
    (layers / "WS2.cif").unlink()
    assert "Nothing to be done" in run(clone, "-n")
    (layers / "C.vasp").unlink()
    assert "select_materials" in run(clone, "-n")


def test_equal_content_at_another_path_is_no_reason(selected, tmp_path):
    clone, layers = selected
    shutil.copytree(layers, tmp_path / "elsewhere")
    configure(clone, tmp_path / "elsewhere")
    assert "Nothing to be done" in run(clone, "-n")


def test_a_wrong_path_stops_before_any_job(selected, tmp_path):
    clone, layers = selected
    tables = sorted((clone.folder / "results/materials").rglob("*"))
    for path, keys, message in (
        (tmp_path / "nothing", {}, "there is nothing at"),
        (tmp_path / "*.cif", {}, "no file matches"),
        (tmp_path / "x.db", {"source": "database"}, "there is no file"),
        (layers, {"sha256": "0" * 64}, "another version"),
    ):
        configure(clone, path, **keys)
        done = clone.run("--configfile", "my.yaml", "--", TARGET)
        text = done.stdout + done.stderr
        assert done.returncode == 1
        assert "materials." in text and message in text and "Traceback" not in text
        assert sorted((clone.folder / "results/materials").rglob("*")) == tables
    configure(clone, layers)
    assert "Nothing to be done" in run(clone, "-n")


def test_a_selection_that_fails_keeps_the_last_one(selected, tmp_path):
    clone, layers = selected
    tables = ("selected.csv", "rejected.csv", "hosts/000.xyz")
    before = {name: (clone.folder / "results/materials" / name).read_bytes() for name in tables}
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/a.cif").write_text("data_x\n")
    configure(clone, tmp_path / "junk")
    for _ in range(2):
        done = clone.run("--configfile", "my.yaml", "--", TARGET)
        assert done.returncode == 1
        assert "no host is left of the 1 structures" in done.stdout + done.stderr
    now = {name: (clone.folder / "results/materials" / name).read_bytes() for name in tables}
    assert now == before
    configure(clone, layers)
    assert "Nothing to be done" in run(clone, "-n")
    ase.io.write(tmp_path / "junk/b.cif", mx2("WS2", vacuum=8))
    configure(clone, tmp_path / "junk")
    text = run(clone)
    assert "1 of 2 structures used; results/materials/rejected.csv says why 1 is not" in text
    assert len(list((clone.folder / "results/materials/selections").iterdir())) == 1
