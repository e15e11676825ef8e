"""Safety of a scan: nothing runs, nothing escapes, time and memory are bounded."""

import gzip
import io
import os
import pickle
import tarfile
import time
import zipfile
from pathlib import Path

import ase.io
import pytest
from scan_examples import contents, damaged, layer, rock_salt

from defectpool.scan.result import Limits
from defectpool.scan.run import scan_files
from defectpool.scan.sandbox import Sandbox

LONGEST = 10.0  # s


def scanned(*paths: object, limits: Limits | None = None) -> list:
    return list(scan_files([str(path) for path in paths], limits or Limits()))


def reason(path: object, limits: Limits | None = None) -> str:
    begun = time.perf_counter()
    (result,) = scanned(path, limits=limits)
    assert time.perf_counter() - begun < LONGEST
    assert result.verdict == "undecided"
    assert result.reason and "\n" not in result.reason
    return result.reason


class Payload:
    """Pickled, it makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["a.pckl", "a.traj", "POSCAR", "a.json"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_not_read(tmp_path, name, protocol):
    target = tmp_path / "ran"
    (tmp_path / name).write_bytes(pickle.dumps(Payload(target), protocol))
    reason(tmp_path / name)
    assert not target.exists()


def test_python_is_not_run(tmp_path):
    target = tmp_path / "ran"
    (tmp_path / "a.py").write_text(f"open({str(target)!r}, 'w')\n")
    assert "no structure format" in reason(tmp_path / "a.py")
    assert not target.exists()


def test_pymatgen_json_imports_nothing(tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    path = tmp_path / "a.json"
    path.write_text(
        '{"lattice": {"matrix": [[3,0,0],[0,3,0],[0,0,3]]}, "sites": [{"species": '
        '[{"element": "Na", "occu": 1}], "abc": [0,0,0], "properties": '
        '{"x": {"@module": "evil", "@class": "A"}}}]}'
    )
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        scanned(path)
    finally:
        del os.environ["PYTHONPATH"]
    assert not (tmp_path / "ran").exists()


def test_a_database_address_is_no_path():
    assert "no such file" in reason("postgresql://ase:ase@localhost:1/test")


@pytest.mark.parametrize("name", ["POSCAR", "a.cif", "a.db", "a.xyz"])
def test_a_gigabyte_is_refused_unread(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(10**9)
    assert "1,000 MB; the limit is 500 MB" in reason(path)


def test_bombs_are_refused(tmp_path):
    small = Limits(file_bytes=20_000_000)
    zeros = b"0 " * 15_000_000
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{number}.cif", zeros)
    with gzip.open(tmp_path / "a.cif.gz", "wb", 1) as file:
        file.write(zeros)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for number in range(4):
            entry = tarfile.TarInfo(f"{number}.cif")
            entry.size = len(zeros)
            tar.addfile(entry, io.BytesIO(zeros))
    assert "the decompressed content is larger" in reason(tmp_path / "a.cif.gz", small)
    for name in ("a.zip", "a.tar.gz"):
        found = scanned(tmp_path / name, limits=small)
        assert "unpacks to 30 MB; the limit is 20 MB" in found[0].reason
        assert "(a zip bomb?)" in found[-1].reason


def test_members_of_archives_cannot_leave(tmp_path):
    content = b"NaCl\n"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("../escaped.cif", "/tmp/escaped.cif", "a/../../escaped.cif"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo(f"special{kind.decode()}.cif")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
    found = scanned(tmp_path / "a.tar")
    assert len(found) == 7 and all("refused" in result.reason for result in found)
    assert not list(tmp_path.parent.glob("escaped*"))


def test_damaged_and_encrypted_archives_are_reasons(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", os.urandom(10_000))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:5000])
    (tmp_path / "bad.zip").write_bytes(content[:2000] + os.urandom(1000) + content[3000:])
    (tmp_path / "bad.gz").write_bytes(gzip.compress(b"x" * 10_000)[:20])
    for name in ("cut.zip", "bad.zip", "bad.gz"):
        assert "damaged" in reason(tmp_path / name)


def test_links_and_devices(tmp_path):
    ase.io.write(tmp_path / "POSCAR", rock_salt(), format="vasp")
    (tmp_path / "link").symlink_to("POSCAR")
    (tmp_path / "nothing").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..", target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.cif")
    assert scanned(tmp_path / "link")[0].verdict == "defective"
    assert reason(tmp_path / "nothing") == "a link to nothing"
    assert reason(tmp_path / "loop")
    for path in ("/dev/zero", "/dev/stdin", tmp_path / "pipe.cif"):
        if not Path(path).is_file():
            assert "device, pipe or socket" in reason(path)
    # a folder's links to folders are not followed, its pipes are passed over
    assert [Path(r.path).name for r in scanned(tmp_path)] == ["POSCAR", "link"]


def test_a_million_atoms_are_refused_before_they_are_parsed(tmp_path):
    line = b"0.1 0.2 0.3\n"
    (tmp_path / "POSCAR").write_bytes(
        b"x\n1.0\n99 0 0\n0 99 0\n0 0 99\nNa\n1000000\nDirect\n" + 1_000_000 * line
    )
    (tmp_path / "a.xyz").write_bytes(b"1000000\nx\n" + 1_000_000 * (b"Na " + line))
    (tmp_path / "a.cif").write_bytes(
        b"data_x\n_cell_length_a 9\nloop_\n_atom_site_label\n" + 1_000_000 * (b"Na " + line)
    )
    for name in ("POSCAR", "a.xyz"):
        assert "1,000,000 atoms; the limit is 200,000" in reason(tmp_path / name)
    assert "a CIF of 1,000,004 lines" in reason(tmp_path / "a.cif")


def test_time_and_memory_are_bounded_and_the_run_goes_on(tmp_path):
    # brackets within brackets: a pure-Python parser takes long, and then much memory
    (tmp_path / "slow.yaml").write_text("a: " + "[" * 200_000)
    (tmp_path / "big.json").write_text('{"a": [' + "[]," * 40_000_000 + "[]]}")
    ase.io.write(tmp_path / "z.xyz", layer())
    found = scanned(tmp_path, limits=Limits(seconds=3.0, memory=300_000_000))
    assert [Path(result.path).name for result in found] == ["big.json", "slow.yaml", "z.xyz"]
    assert "memory" in found[0].reason
    assert found[1].reason
    assert found[2].verdict == "defective"


def test_structures_after_one_that_ends_the_process_are_scanned(tmp_path, monkeypatch):
    # analysis of a structure of 48 atoms is made to be too slow by a limit of time per structure
    ase.io.write(tmp_path / "a.xyz", [layer(3), layer(12), layer(3)])
    monkeypatch.setattr("defectpool.scan.sandbox.SECONDS_PER_ATOM", 0.0)
    with Sandbox(Limits(seconds=60.0)) as sandbox:
        assert [r.verdict for r in sandbox.results(tmp_path / "a.xyz", "a")] == ["defective"] * 3
        object.__setattr__(sandbox.limits, "seconds", 0.001)
        found = list(sandbox.results(tmp_path / "a.xyz", "a"))
    assert found and all("took more than 0.001 s" in r.reason for r in found if not r.finding)


def test_damaged_files_never_end_the_run(tmp_path):
    whole = contents(tmp_path, layer(3))
    paths = []
    for number, content in enumerate(damaged(whole, 100, seed=7)):
        paths.append(tmp_path / f"damaged{number}")
        paths[-1].write_bytes(content)
    last = time.perf_counter()
    seen = set()
    for result in scan_files(paths, Limits()):
        now = time.perf_counter()
        assert now - last < LONGEST
        last = now
        seen.add(result.path.removeprefix(f"{tmp_path}/").split("/")[0])
        assert result.finding or result.reason
        assert "the analysis failed" not in result.reason
    assert seen == {path.name for path in paths}
