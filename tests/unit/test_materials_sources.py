"""Sources: all formats give the same hosts, and every structure is in a table."""

import csv
import errno
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import graphene, mx2
from ase.db import connect
from pymatgen.io.ase import AseAtomsAdaptor

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import archive, embedded, file_listing, select
from defectpool.materials.duplicates import duplicates
from defectpool.materials.file_listing import digest, source_digest
from defectpool.materials.host import Host, content_name, read_hosts, safe_id
from defectpool.materials.select import select_hosts
from defectpool.runtime.hashing import shard_labels

HOSTS = list(embedded.hosts())[::12]


def selected(directory: Path, **keys) -> tuple[dict[str, Host], dict[str, str]]:
    """Hosts by id, and reasons of the rejected by id or path."""
    summary = select_hosts(MaterialsSettings(**keys), 3, directory)
    hosts = [h for s in shard_labels(3) for h in read_hosts(directory / "hosts" / f"{s}.xyz")]
    with (directory / "selected.csv").open(encoding="utf-8", newline="") as file:
        names = [row["id"] for row in csv.DictReader(file)]
    with (directory / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = [(row["id"], row["reason"]) for row in csv.DictReader(file)]
    assert names == sorted(host.id for host in hosts)
    assert len(set(names)) == len(names) == summary.selected
    assert len(rejected) == sum(summary.rejected.values()) == summary.seen - summary.selected
    return {host.id: host for host in sorted(hosts, key=lambda host: host.id)}, dict(rejected)


def write_database(path: Path, hosts: list[Host]) -> None:
    with connect(path) as database:
        for host in hosts:
            database.write(host.atoms, uid=host.id, ehull=0.01)


def same(one: Host, other: Host, tolerance: float = 1e-9) -> None:
    assert one.formula == other.formula
    assert (one.atoms.numbers == other.atoms.numbers).all()
    np.testing.assert_allclose(one.atoms.cell[:2], other.atoms.cell[:2], atol=tolerance)
    shift = one.atoms.positions - other.atoms.positions
    scaled = np.linalg.solve(one.atoms.cell.array.T, shift.T).T
    scaled -= np.rint(scaled)
    np.testing.assert_allclose((scaled @ one.atoms.cell.array)[:, :2], 0, atol=tolerance)


FORMATS = {"cif": "cif", "vasp": "vasp", "xyz": "extxyz", "json": "json"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_of_every_format_give_the_hosts_of_the_database(tmp_path, suffix) -> None:
    write_database(tmp_path / "c2db.db", HOSTS)
    expected, _ = selected(tmp_path / "db", source="database", path=str(tmp_path / "c2db.db"))
    folder = tmp_path / "files"
    folder.mkdir()
    for host in HOSTS:
        atoms = host.atoms[np.argsort(host.atoms.numbers, kind="stable")]
        if suffix == "cif":
            atoms.pbc = True  # CIF cannot express anything else
        ase.io.write(folder / f"{host.id}.{suffix}", atoms, format=FORMATS[suffix])
    found, rejected = selected(tmp_path / "out", source="files", path=str(folder))
    assert not rejected
    assert list(found) == list(expected)
    for name, host in found.items():
        assert host.source == f"{name}.{suffix}"
        slab = expected[name].atoms
        assert host.formula == expected[name].formula
        assert duplicates([slab, host.atoms]) == {1: 0}


def test_ids_come_from_paths(tmp_path) -> None:
    slab, other, third = mx2("MoS2", vacuum=8), graphene(vacuum=8), mx2("WSe2", vacuum=8)
    places = {
        "AB2/1MoS2/1/structure.xyz": ("1MoS2-1", slab),
        "AB2/1MoS2/2/structure.xyz": ("1MoS2-2", mx2("MoS2", kind="1T", vacuum=8)),
        "tree/A/C2/C2-b3b4685fb6e1/structure.json": ("C2-b3b4685fb6e1", other),
        "mine/WSe2/POSCAR": ("mine.WSe2", third),
        "mine/WSe2.strained.cif": ("mine.WSe2.strained", mx2("WSe2", a=3.9, vacuum=8)),
        "CONTCAR_WS2": ("CONTCAR_WS2", mx2("WS2", vacuum=8)),
    }
    for place, (_, atoms) in places.items():
        path = tmp_path / "in" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        atoms.info.clear()
        ase.io.write(path, atoms, format="cif" if path.suffix == ".cif" else None)
    beside = tmp_path / "in/AB2/1MoS2/1"
    (beside / "data.json").write_text(json.dumps({"ehull": 0.02, "dyn_stab": "Yes", "x": [1]}))
    (beside / "results-asr.gs.json").write_text("{}")
    (tmp_path / "in/README.txt").write_text("not a structure")
    found, rejected = selected(tmp_path / "out", source="files", path=str(tmp_path / "in"))
    assert set(found) == {name for name, _ in places.values()}
    assert not rejected
    assert found["1MoS2-1"].properties["ehull"] == 0.02
    assert found["1MoS2-1"].properties["dyn_stab"] == "Yes"

    picked, _ = selected(
        tmp_path / "glob", source="files", path=str(tmp_path / "in/AB2/1MoS2/*/structure.xyz")
    )
    assert set(picked) == {"1MoS2-1", "1MoS2-2"}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_is_read_like_its_folder(tmp_path, suffix) -> None:
    folder = tmp_path / "c2db"
    for host in HOSTS:
        uid, number = host.id.rsplit("-", 1)
        (folder / "X" / uid / number).mkdir(parents=True)
        ase.io.write(folder / "X" / uid / number / "structure.xyz", host.atoms, format="extxyz")
    archive = tmp_path / f"c2db.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in folder.rglob("*"):
                file.write(path, path.relative_to(tmp_path))
    else:
        with tarfile.open(archive, f"w:{suffix.partition('.')[2]}") as tar:
            tar.add(folder, "c2db")
    expected, _ = selected(tmp_path / "a", source="files", path=str(folder))
    found, rejected = selected(tmp_path / "b", source="files", path=str(archive))
    assert not rejected
    assert list(found) == list(expected) == sorted(host.id for host in HOSTS)
    for name, host in found.items():
        assert (host.atoms.positions == expected[name].atoms.positions).all()


def test_the_checksum_of_a_folder_is_that_of_its_structures(tmp_path) -> None:
    sums = []
    for name in ("one", "two"):
        folder = tmp_path / name / "deep"
        folder.mkdir(parents=True)
        ase.io.write(folder / "a.vasp", mx2("MoS2", vacuum=8))
        ase.io.write(folder / "b.cif", graphene(vacuum=8))
        (folder / f"{name}.txt").write_text("not read, so it does not count")
        sums.append(digest(str(tmp_path / name)))
    assert sums[0] == sums[1]
    (tmp_path / "two/deep/a.vasp").rename(tmp_path / "two/deep/c.vasp")
    sums.append(digest(str(tmp_path / "two")))
    ase.io.write(tmp_path / "one/deep/a.vasp", mx2("WS2", vacuum=8))
    sums.append(digest(str(tmp_path / "one")))
    assert len(set(sums)) == 3


def test_paths_that_leave_an_archive_are_refused(tmp_path) -> None:
    text = io.StringIO()
    ase.io.write(text, mx2("MoS2", vacuum=8), format="extxyz")
    content = text.getvalue().encode()
    bad = ["../up.xyz", "/absolute.xyz", "a/../../up.xyz", "..\\up.xyz", "C:/x.xyz"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in [*bad, "good.xyz"]:
            file.writestr(zipfile.ZipInfo(name), content)
        link = zipfile.ZipInfo("link.xyz")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for name in [*bad, "good.xyz"]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for special in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"link{special.decode()}.xyz")
            member.type, member.linkname = special, "/etc/passwd"
            tar.addfile(member)
    for name, links in (("x.zip", 1), ("x.tar.gz", 3)):
        found, rejected = selected(tmp_path / "o", source="files", path=str(tmp_path / name))
        assert set(found) == {"good"}
        assert list(rejected.values()) == ["unsafe_path"] * (len(bad) + links)
    assert {p.name for p in tmp_path.iterdir()} == {"x.zip", "x.tar.gz", "o"}


def test_files_without_a_layer_are_rejected_with_a_reason(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    slab = mx2("MoS2", vacuum=8)
    ase.io.write(folder / "good.cif", slab)
    ase.io.write(folder / "two.xyz", [slab, graphene(vacuum=8)], format="extxyz")
    text = (folder / "good.cif").read_text()
    (folder / "half.cif").write_text(text[:200])
    (folder / "shared.cif").write_text(text.replace("1.0000", "0.5000"))
    (folder / "empty.xyz").write_text("")
    (folder / "noise.json").write_text("{]")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "POSCAR").write_bytes(b"\xff\xfe\x00")
    structure = AseAtomsAdaptor.get_structure(mx2("WS2", vacuum=8))
    (folder / "pymatgen.json").write_text(structure.to_json())
    structure.replace(0, {"W": 0.5, "Mo": 0.5})
    (folder / "disordered.json").write_text(structure.to_json())
    found, rejected = selected(
        tmp_path / "out", source="files", path=str(folder), duplicates="keep"
    )
    assert set(found) == {"good", "two.0", "two.1", "pymatgen"}
    assert rejected["disordered"] == rejected["shared"] == "partial_occupancy"
    assert rejected["empty.xyz"] == "empty"
    for name in ("half.cif", "noise.json", "list.json", "POSCAR"):
        assert rejected[name] == "unreadable", name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.db", None, "there is no file"),
        ("empty.db", b"", "not an ASE database"),
        ("text.db", b"hello", "not an ASE database"),
        ("other.db", b"SQLite format 3\0" + bytes(84), "not an ASE database"),
    ],
)
def test_a_file_that_is_not_a_database_is_refused_and_unchanged(
    tmp_path, name, content, message
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DefectpoolError, match=message):
        select_hosts(MaterialsSettings(source="database", path=str(path)), 1, tmp_path / "out")
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("name", ["nothing", "*.cif", "broken.zip", "broken.tar.gz"])
def test_a_path_without_structures_is_refused(tmp_path, name) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DefectpoolError, match=r"materials\.path"):
        settings = MaterialsSettings(source="files", path=str(tmp_path / name))
        select_hosts(settings, 1, tmp_path / "out")


def test_ase_json_databases_are_databases_too(tmp_path) -> None:
    write_database(tmp_path / "hosts.json", HOSTS)
    write_database(tmp_path / "hosts.db", HOSTS)
    one, _ = selected(tmp_path / "1", source="database", path=str(tmp_path / "hosts.json"))
    two, _ = selected(tmp_path / "2", source="database", path=str(tmp_path / "hosts.db"))
    assert list(one) == list(two)
    for name in one:
        same(one[name], two[name])
        assert one[name].properties == two[name].properties


def test_an_expression_that_ase_refuses_is_named(tmp_path) -> None:
    write_database(tmp_path / "hosts.db", HOSTS)
    settings = MaterialsSettings(source="database", path=str(tmp_path / "hosts.db"), select="a==b=")
    with pytest.raises(DefectpoolError, match=r"materials\.select"):
        select_hosts(settings, 1, tmp_path / "out")


def test_ids_are_safe_unique_and_stable() -> None:
    assert safe_id("1MoS2-1") == "1MoS2-1"
    strange = [
        "a/b",
        "a\\b",
        "a b",
        "../a",
        ".hidden",
        "",
        "ä",
        "x" * 200,
        "x" * 201,
        "a:b",
        "CON\n",
    ]
    made = [safe_id(name) for name in strange]
    assert len(set(made)) == len(made)
    assert made == [safe_id(name) for name in strange]
    for name in made:
        assert set(name) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+=-"
        )
        assert name[0].isalnum() and len(name) <= 80
    atoms = mx2("MoS2", vacuum=8)
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-9
    assert content_name("MoS2", atoms) == content_name("MoS2", moved)
    moved.positions[0, 0] += 1e-3
    assert content_name("MoS2", atoms) != content_name("MoS2", moved)


def test_the_three_dtu_files_load(shared_data, tmp_path) -> None:
    old = str(shared_data / "dtu" / "mos2_old_keys.db")
    found, rejected = selected(tmp_path / "old", source="database", path=old)
    assert set(found) == {"MoS2-b3b4685fb6e1", "MoS2-249ca8711314"} and not rejected
    semiconductor = found["MoS2-b3b4685fb6e1"].properties
    assert semiconductor["dyn_stab"] == "Yes" and semiconductor["thermodynamic_stability"] == "high"
    metal = found["MoS2-249ca8711314"].properties
    assert metal["dyn_stab"] == "No" and metal["thermodynamic_stability"] == "medium"
    assert (semiconductor["lgnum"], metal["lgnum"]) == (78, 72)

    keyless = str(shared_data / "dtu" / "hosts_no_uid.db")
    found, rejected = selected(tmp_path / "keyless", source="database", path=keyless)
    assert len(found) + len(rejected) == 281
    assert all(
        name.startswith(f"{host.formula}-") or "(" in host.formula for name, host in found.items()
    )
    again, _ = selected(tmp_path / "again", source="database", path=keyless)
    assert list(again) == list(found)

    site = str(shared_data / "dtu" / "MoS2_site_download.json")
    found, rejected = selected(tmp_path / "site", source="files", path=site)
    assert set(found) == {"MoS2_site_download"} and not rejected


def test_the_mos2_of_three_releases_is_one_structure(shared_data, c2db, tmp_path) -> None:
    with connect(tmp_path / "all.db") as together:
        for path in (c2db, shared_data / "dtu" / "mos2_old_keys.db"):
            for row in connect(path).select("formula=MoS2"):
                together.write(row.toatoms(), uid=row.uid)
        site = ase.io.read(shared_data / "dtu" / "MoS2_site_download.json")
        together.write(site, uid="site")
    path = str(tmp_path / "all.db")
    found, rejected = selected(tmp_path / "out", source="database", path=path)
    everything, _ = selected(tmp_path / "all", source="database", path=path, duplicates="keep")
    hexagonal = {name for name, host in everything.items() if host.properties["lgnum"] == 78}
    assert hexagonal == {"1MoS2-1", "MoS2-b3b4685fb6e1", "site"}
    assert set(found) & hexagonal == {"1MoS2-1"}
    assert rejected["MoS2-b3b4685fb6e1"] == rejected["site"] == "duplicate_structure"


@pytest.mark.parametrize("cut", range(0, 900, 37))
def test_a_cif_is_unreadable_wherever_it_is_cut(tmp_path, cut) -> None:
    (tmp_path / "in").mkdir()
    ase.io.write(tmp_path / "in/good.cif", mx2("MoS2", vacuum=8))
    text = (tmp_path / "in/good.cif").read_text()
    end = text.index("  S   S1")  # from there on a cut leaves another crystal
    (tmp_path / "in/half.cif").write_text(text[: min(cut, end - 30)])
    _, rejected = selected(tmp_path / "out", source="files", path=str(tmp_path / "in"))
    assert rejected["half.cif"] == ("unreadable" if cut else "empty")


def test_structures_of_an_archive_are_limited_together(tmp_path, monkeypatch) -> None:
    content = "".join(f"{w}\n" for w in ("1", 'Lattice="3 0 0 0 3 0 0 0 20"', "C 0 0 0")).encode()
    monkeypatch.setattr(archive, "MAX_TOTAL", 3 * len(content))
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w") as file,
        tarfile.open(tmp_path / "x.tar", "w") as tar,
    ):
        for number in range(8):
            file.writestr(f"{number}.xyz", content)
            member = tarfile.TarInfo(f"{number}.xyz")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("x.zip", "x.tar"):
        root = tmp_path / name.replace(".", "_")
        root.mkdir()
        refused = list(archive.unpack(tmp_path / name, root))
        assert [one.id for one in refused] == [f"{number}.xyz" for number in range(3, 8)]
        assert {one.reason for one in refused} == {"too_large"}
        assert len(list(root.iterdir())) == 3


def write_archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("a.xyz")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))


def test_a_full_disk_is_not_a_damaged_archive(tmp_path, monkeypatch) -> None:
    write_archive(tmp_path / "x.tar.gz")
    original = Path.open

    def to_full_device(self: Path, mode: str = "r", *rest, **keys):
        return original(Path("/dev/full") if mode == "wb" else self, mode, *rest, **keys)

    monkeypatch.setattr(Path, "open", to_full_device)
    with pytest.raises(DefectpoolError) as caught:
        list(archive.unpack(tmp_path / "x.tar.gz", tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}: the disk or quota is full (")
    assert "MB free" in str(caught.value) and "damaged" not in str(caught.value)


def test_a_zip_that_does_not_fit_says_how_much_is_missing(tmp_path, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a.xyz", "x" * 3_000_000)
    usage = os.statvfs(tmp_path)
    assert usage.f_bavail
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(DefectpoolError, match=r"1\.0 MB free, 3\.0 MB needed, 2\.0 MB missing"):
        list(archive.unpack(tmp_path / "x.zip", tmp_path))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_missing_permission_is_not_a_damaged_archive(tmp_path, monkeypatch, number) -> None:
    write_archive(tmp_path / "x.tar.gz")

    def refuse(*arguments, **keys):
        raise OSError(number, os.strerror(number), "x.tar.gz")

    monkeypatch.setattr(tarfile, "open", refuse)
    with pytest.raises(DefectpoolError) as caught:
        list(archive.unpack(tmp_path / "x.tar.gz", tmp_path))
    assert str(caught.value) == f"x.tar.gz: {os.strerror(number).lower()}"


def test_a_full_temporary_folder_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(select, "SCHEMA", "PRAGMA max_page_count = 9;" + select.SCHEMA)
    with pytest.raises(DefectpoolError, match="the disk or quota is full"):
        select_hosts(MaterialsSettings(), 1, tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(DefectpoolError, match="TMPDIR: no temporary folder"):
        select_hosts(MaterialsSettings(), 1, tmp_path)


def test_the_checksum_of_a_source_depends_on_its_content_alone(tmp_path, monkeypatch) -> None:
    folder, cache = tmp_path / "in", tmp_path / "cache.json"
    folder.mkdir()
    ase.io.write(folder / "a.vasp", mx2("MoS2", vacuum=8))
    os.utime(folder / "a.vasp", (1, 1))
    first = source_digest("files", str(folder), cache)
    assert first == digest(str(folder)) == source_digest("files", str(folder / "*"), cache)
    assert source_digest("embedded", "", cache) == source_digest("optimade", "", cache) == ""
    read = []
    original = file_listing.file_digest
    monkeypatch.setattr(
        file_listing, "file_digest", lambda path: (read.append(path), original(path))[1]
    )
    assert source_digest("files", str(folder), cache) == first and not read
    os.utime(folder / "a.vasp", (2, 2))
    assert source_digest("files", str(folder), cache) == first and len(read) == 1
    ase.io.write(folder / "a.vasp", mx2("WS2", vacuum=8))
    assert source_digest("files", str(folder), cache) != first
    (folder / "pipe.cif").symlink_to("nowhere")
    assert source_digest("files", str(folder), cache) != first
    with pytest.raises(DefectpoolError, match=r"materials\.path: there is no file"):
        source_digest("database", str(tmp_path / "x.db"), cache)


def test_equal_tables_are_not_written_again(tmp_path) -> None:
    select_hosts(MaterialsSettings(limit=3), 2, tmp_path)
    files = [*tmp_path.glob("*.csv"), *tmp_path.glob("hosts/*.xyz")]
    for path in files:
        os.utime(path, (1, 1))
    select_hosts(MaterialsSettings(limit=3), 2, tmp_path)
    assert {path.stat().st_mtime for path in files} == {1.0}
    select_hosts(MaterialsSettings(limit=4), 2, tmp_path)
    assert (tmp_path / "selected.csv").stat().st_mtime > 1
