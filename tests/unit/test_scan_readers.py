"""Readers of a scan: every format, packed or not, told by content; disorder; LAMMPS types."""

import bz2
import gzip
import io
import json
import lzma
import sys
import zipfile
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from scan_examples import FORMATS, layer, rock_salt, to_pymatgen, write_formats

from defectpool.scan import formats, readers, scan, sources
from defectpool.scan.formats import UnreadableError
from defectpool.scan.result import Limits

LIMITS = Limits()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a structure and its files by name."""
    atoms = rock_salt()
    return atoms, write_formats(tmp_path_factory.mktemp("formats"), atoms)


def read(path: Path, name: str = "", limits: Limits = LIMITS) -> list:
    return list(readers.read(path, name or path.name, limits))


def reason(path: Path, name: str = "", limits: Limits = LIMITS) -> str:
    found = read(path, name, limits)
    assert isinstance(found[-1], UnreadableError), found
    text = str(found[-1])
    assert text and "\n" not in text and len(text) <= 200
    return text


def assert_same(found: Atoms, atoms: Atoms, tolerance: float = 2e-3) -> None:
    """Assert that two structures are the same but for the order, origin and setting."""
    assert found.symbols.formula.count() == atoms.symbols.formula.count()
    assert found.pbc.all()
    distances = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (found, atoms)]
    np.testing.assert_allclose(*distances, atol=2 * tolerance)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_back(written, name):
    atoms, paths = written
    found = read(paths[name])
    assert len(found) == (2 if name == "XDATCAR" else 1), found
    assert_same(found[0], atoms)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_can_be_called_anything(written, name, tmp_path):
    if name in ("a.cssr", "a.yaml"):
        pytest.skip("nothing in the content tells it")
    atoms, paths = written
    path = tmp_path / "relaxed"
    path.write_bytes(paths[name].read_bytes())
    assert_same(read(path)[0], atoms)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", gzip.compress)],
)
def test_compressed_files_are_read(written, tmp_path, suffix, pack):
    atoms, paths = written
    path = tmp_path / f"a.cif{suffix}"
    path.write_bytes(pack(paths["a.cif"].read_bytes()))
    assert_same(read(path)[0], atoms)


def test_zstandard_is_read_or_said_to_need_a_package(written, tmp_path):
    path = tmp_path / "POSCAR.zst"
    try:
        import zstandard
    except ImportError:
        path.write_bytes(b"\x28\xb5\x2f\xfd" + b"anything")
        assert "install the package zstandard" in reason(path)
    else:
        path.write_bytes(zstandard.compress(written[1]["POSCAR"].read_bytes()))
        assert_same(read(path)[0], written[0])


def test_frames_and_rows_come_in_order(tmp_path):
    frames = [layer(), rock_salt(), layer(3)]
    for name in ("many.xyz", "many.traj", "many.db", "many.json"):
        ase.io.write(tmp_path / name, frames)
        assert [len(atoms) for atoms in read(tmp_path / name)] == [len(f) for f in frames]


def test_pymatgen_entries_and_lists_are_read(tmp_path):
    structure = to_pymatgen(rock_salt()).as_dict()
    path = tmp_path / "entries.json"
    path.write_text(json.dumps([structure, {"energy": 1.0, "structure": structure}]))
    assert [len(atoms) for atoms in read(path)] == [215, 215]


def test_disorder_is_a_reason_in_cif_and_json(tmp_path):
    from pymatgen.core import Lattice, Structure

    alloy = Structure(
        Lattice.cubic(3.6), [{"Fe": 0.5, "Ni": 0.5}, "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    alloy.to(str(tmp_path / "alloy.cif"))
    (tmp_path / "alloy.json").write_text(json.dumps(alloy.as_dict()))
    for name in ("alloy.cif", "alloy.json"):
        assert "partially occupied (Fe 0.5, Ni 0.5)" in reason(tmp_path / name)
    (result,) = scan(alloy)
    assert result.verdict == "undecided" and "partially occupied" in result.reason


def test_lammps_types_are_not_taken_for_elements(tmp_path):
    path = tmp_path / "nacl.lmp"
    ase.io.write(path, rock_salt(), format="lammps-data", atom_style="atomic")
    assert "names no elements" in reason(path)


def test_latin_1_and_a_byte_order_mark_do_no_harm(written, tmp_path):
    text = written[1]["POSCAR"].read_bytes().split(b"\n", 1)[1]
    for number, title in enumerate((b"L\xfccke in NaCl\n", b"\xef\xbb\xbfNaCl\n")):
        path = tmp_path / f"POSCAR{number}"
        path.write_bytes(title + text)
        # the species are in line 6, so that the title says nothing
        assert len(read(path)[0]) == 215


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"What is this?\n" * 30, "no structure format"),
        (b"\x00" * 500, "binary file"),
        (b"data_x\n_cell_length_a 1.0\nloop_\n_atom_site_label\n", "damaged cif"),
        (b"{}", "JSON without a structure"),
        (b'{"a": [1, 2', "damaged json"),
        (b"3\n\nH 0 0 0\nH 0 0 1\n", "damaged extxyz"),
        (b'1\nLattice="1 0 0 0 1 0 0 0 1"\nH nan 0 0\n', "not finite"),
        (b'1\nLattice="1 0 0 0 1 0 0 0 1"\nX 0 0 0\n', "no element"),
    ],
)
def test_a_bad_file_is_a_reason(tmp_path, content, said):
    path = tmp_path / "structure"
    path.write_bytes(content)
    assert said in reason(path)


def test_good_frames_before_a_bad_one_are_kept(tmp_path):
    path = tmp_path / "a.xyz"
    ase.io.write(path, [layer(), layer()])
    path.write_text(path.read_text() + "junk\n")
    found = read(path)
    assert len(found) >= 1 and isinstance(found[-1], UnreadableError)


def test_atom_counts_are_read_off_the_first_lines(written):
    _, paths = written
    for name, form in {"POSCAR": "vasp", "a.xyz": "extxyz", "a.cube": "cube"}.items():
        assert formats.announced_atoms(form, paths[name].read_bytes()) == 215
    assert formats.announced_atoms("lammps-data", paths["a.lmp"].read_bytes()) == 215


def names(path, **options) -> list[str]:
    with sources.temporary_folder() as folder:
        return [s.name for s in sources.sources([path], Limits(**options), folder)]


def test_folders_globs_and_archives_are_opened(written, tmp_path):
    _, paths = written
    (tmp_path / "sub").mkdir()
    for name in ("POSCAR", "sub/relaxed", "INCAR", ".hidden.cif"):
        (tmp_path / name).write_bytes(paths["POSCAR"].read_bytes())
    (tmp_path / "INCAR").write_text("ENCUT = 500\n")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(paths["a.cif"], "x/a.cif")
        archive.writestr("README", "nothing")
    assert names(tmp_path) == [
        str(tmp_path / name) for name in ("POSCAR", "some.zip/x/a.cif", "sub/relaxed")
    ]
    assert names(f"{tmp_path}/*CAR") == [str(tmp_path / "INCAR"), str(tmp_path / "POSCAR")]
    assert names(f"{tmp_path}/[x]y") == [f"{tmp_path}/[x]y"]  # said to be missing later


def test_standard_input_is_a_file(written, monkeypatch, tmp_path):
    class Stream:
        buffer = io.BytesIO(written[1]["POSCAR"].read_bytes())

    monkeypatch.setattr(sys, "stdin", Stream)
    with sources.temporary_folder() as folder:
        (source,) = sources.sources(["-"], LIMITS, folder)
        assert source.name == "-"
        assert len(read(source.path)[0]) == 215


def test_objects_and_paths_give_the_same_answer(written, tmp_path):
    atoms, paths = written
    found = list(scan([atoms, to_pymatgen(atoms), paths["POSCAR"]]))
    assert [r.verdict for r in found] == ["defective"] * 3
    assert [[d.name for d in r.finding.defects] for r in found] == [["v_Na"]] * 3
    assert [r.path for r in found] == ["", "", str(paths["POSCAR"])]
    with pytest.raises(TypeError, match="structure 0 is a int"):
        list(scan([3]))
