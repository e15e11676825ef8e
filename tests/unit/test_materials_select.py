"""Selection: order, ids, samples, shards and the record."""

import csv
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from ase.build import mx2
from ase.db import connect

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import embedded
from defectpool.materials.host import read_hosts, write_hosts
from defectpool.materials.select import select_hosts
from defectpool.runtime.hashing import seed, shard_labels, shard_of

HOSTS = list(embedded.hosts())
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def database(path: Path, hosts=HOSTS) -> str:
    with connect(path) as rows:
        for host in hosts:
            rows.write(host.atoms, uid=host.id)
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def shards(folder: Path, count: int) -> list[list[str]]:
    files = [folder / "hosts" / f"{label}.xyz" for label in shard_labels(count)]
    return [[host.id for host in read_hosts(path)] for path in files]


def test_hosts_are_in_order_and_in_their_shards(tmp_path) -> None:
    summary = select_hosts(MaterialsSettings(), 7, tmp_path)
    split = shards(tmp_path, 7)
    assert sorted(name for shard in split for name in shard) == sorted(h.id for h in HOSTS)
    assert summary.selected == summary.seen == len(HOSTS)
    for number, shard in enumerate(split):
        assert shard == sorted(shard)
        assert all(shard_of(name, 7) == number for name in shard)


def test_same_bytes_in_any_order_of_rows_and_hashes(tmp_path) -> None:
    (tmp_path / "forward").mkdir()
    (tmp_path / "backward").mkdir()
    forward = database(tmp_path / "forward" / "hosts.db")
    backward = database(tmp_path / "backward" / "hosts.db", HOSTS[::-1])
    code = (
        "import sys; from pathlib import Path; from defectpool.config import MaterialsSettings;"
        "from defectpool.materials.select import select_hosts;"
        "select_hosts(MaterialsSettings(source='database', path=sys.argv[1], limit=60, "
        "max_atoms=5), 4, Path(sys.argv[2])); assert 'torch' not in sys.modules"
    )
    for number, (path, salt) in enumerate([(forward, "0"), (forward, "77"), (backward, "5")]):
        environment = os.environ | {"PYTHONHASHSEED": salt, "PYTHONPATH": str(SCRIPTS)}
        out = str(tmp_path / f"out{number}")
        subprocess.run([sys.executable, "-c", code, path, out], env=environment, check=True)
    first, second, third = (contents(tmp_path / f"out{number}") for number in range(3))
    assert first == second
    for made in (first, third):
        made.pop("source.json")
    without_rows = [
        {
            name: [line.split("hosts.db")[0] for line in text.decode().splitlines()]
            for name, text in made.items()
        }
        for made in (first, third)
    ]
    assert without_rows[0] == without_rows[1]


def test_a_larger_sample_contains_the_smaller_one(tmp_path) -> None:
    taken = []
    for limit in (5, 20, 100):
        select_hosts(MaterialsSettings(limit=limit, seed=3), 4, tmp_path / str(limit))
        taken.append([set(shard) for shard in shards(tmp_path / str(limit), 4)])
        assert sum(map(len, taken[-1])) == limit
    for smaller, larger in pairwise(taken):
        assert all(few <= many for few, many in zip(smaller, larger, strict=True))
    sampled = sorted((seed(3, host.id), host.id) for host in HOSTS)[:5]
    assert {name for _, name in sampled} == set.union(*taken[0])
    select_hosts(MaterialsSettings(limit=5, seed=4), 4, tmp_path / "other")
    assert shards(tmp_path / "other", 4) != shards(tmp_path / "5", 4)


def test_shards_do_not_depend_on_other_hosts(tmp_path) -> None:
    few, many = database(tmp_path / "few.db", HOSTS[::3]), database(tmp_path / "many.db")
    found = {}
    for name, path in (("few", few), ("many", many)):
        settings = MaterialsSettings(source="database", path=path)
        select_hosts(settings, 5, tmp_path / name)
        found[name] = shards(tmp_path / name, 5)
    for some, more in zip(found["few"], found["many"], strict=True):
        assert set(some) <= set(more)


def test_empty_shards_are_empty_files(tmp_path) -> None:
    select_hosts(MaterialsSettings(limit=1), 3, tmp_path)
    sizes = [(tmp_path / "hosts" / f"{s}.xyz").stat().st_size for s in shard_labels(3)]
    assert sorted(size > 0 for size in sizes) == [False, False, True]
    assert sum(map(len, shards(tmp_path, 3))) == 1


def test_hosts_are_read_back_as_written(tmp_path) -> None:
    write_hosts(tmp_path / "a.xyz", HOSTS)
    back = read_hosts(tmp_path / "a.xyz")
    for one, other in zip(back, HOSTS, strict=True):
        assert (one.id, one.formula, one.source) == (other.id, other.formula, other.source)
        assert one.properties == other.properties
        assert one.atoms.positions.tobytes() == other.atoms.positions.tobytes()
        assert (one.atoms.pbc == other.atoms.pbc).all()
    write_hosts(tmp_path / "b.xyz", back)
    assert (tmp_path / "a.xyz").read_bytes() == (tmp_path / "b.xyz").read_bytes()
    (tmp_path / "b.xyz").write_bytes((tmp_path / "a.xyz").read_bytes()[:-30])
    with pytest.raises(DefectpoolError, match=r"b\.xyz: damaged"):
        read_hosts(tmp_path / "b.xyz")


def test_an_empty_selection_counts_the_reasons(tmp_path) -> None:
    settings = MaterialsSettings(max_atoms=3, with_elements=["Fe", "Sr"])
    with pytest.raises(DefectpoolError) as caught:
        select_hosts(settings, 2, tmp_path)
    large = sum(len(host.atoms) > 3 for host in HOSTS)
    assert f"max_atoms {large}" in str(caught.value)
    assert f"with_elements {len(HOSTS) - large}" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_filters_are_the_same_for_every_source(tmp_path) -> None:
    path = database(tmp_path / "hosts.db")
    keys = {"max_atoms": 4, "without_elements": ["S"], "layer_groups": [72, 78], "max_species": 2}
    one = select_hosts(MaterialsSettings(**keys), 2, tmp_path / "a")
    two = select_hosts(MaterialsSettings(source="database", path=path, **keys), 2, tmp_path / "b")
    assert one.rejected == two.rejected
    assert shards(tmp_path / "a", 2) == shards(tmp_path / "b", 2)
    assert 0 < one.selected < one.seen


def test_duplicate_ids_and_structures_are_kept_once(tmp_path) -> None:
    path = tmp_path / "hosts.db"
    with connect(path) as rows:
        rows.write(mx2("MoS2", vacuum=8), uid="a")
        rows.write(mx2("WS2", vacuum=8), uid="a")
        rows.write(mx2("MoS2", vacuum=9), uid="b")
        rows.write(mx2("MoS2", vacuum=8))
        rows.write(mx2("MoS2", vacuum=8))
    settings = MaterialsSettings(source="database", path=str(path))
    summary = select_hosts(settings, 1, tmp_path / "drop")
    assert summary.rejected == {"duplicate_id": 2, "duplicate_structure": 2}
    assert len(shards(tmp_path / "drop", 1)[0]) == 1
    keep = settings.model_copy(update={"duplicates": "keep"})
    summary = select_hosts(keep, 1, tmp_path / "keep")
    assert summary.rejected == {"duplicate_id": 2}
    text = str(summary)
    assert "3 of 5 structures selected" in text and "2 duplicate_id" in text


def test_the_checksum_is_recorded_pinned_and_compared(tmp_path) -> None:
    path = Path(database(tmp_path / "hosts.db", HOSTS[:9]))
    settings = MaterialsSettings(source="database", path=str(path))
    first = select_hosts(settings, 1, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "source.json").read_text())
    assert record["sha256"] == first.sha256 and not first.changed
    select_hosts(settings.model_copy(update={"sha256": first.sha256}), 1, tmp_path / "out")
    database(path, HOSTS[9:12])
    with pytest.raises(DefectpoolError, match=r"materials\.sha256.*another version"):
        select_hosts(settings.model_copy(update={"sha256": first.sha256}), 1, tmp_path / "out")
    second = select_hosts(settings, 1, tmp_path / "out")
    assert second.changed == first.sha256 and "the source has changed" in str(second)


def test_the_vacuum_is_at_least_what_the_graphs_need(tmp_path) -> None:
    select_hosts(MaterialsSettings(), 1, tmp_path, vacuum=20.0)
    for host in read_hosts(tmp_path / "hosts" / "000.xyz"):
        z = host.atoms.positions[:, 2]
        assert host.atoms.cell[2, 2] - (z.max() - z.min()) >= 20.0 - 1e-9


def test_all_of_c2db_is_selected_or_explained(c2db, tmp_path) -> None:
    settings = MaterialsSettings(source="database", path=str(c2db), max_atoms=4, max_ehull=0.05)
    summary = select_hosts(settings, 4, tmp_path)
    with (tmp_path / "rejected.csv").open(newline="") as file:
        rejected = {row["id"]: row for row in csv.DictReader(file)}
    assert summary.seen == len(connect(c2db)) == summary.selected + len(rejected)
    assert all(row["reason"] and row["message"] for row in rejected.values())
    expected = {
        row.uid for row in connect(c2db).select("natoms<=4,ehull<=0.05", include_data=False)
    }
    found = {name for shard in shards(tmp_path, 4) for name in shard}
    assert found <= expected
    for name in expected - found:
        assert rejected[name]["reason"] not in ("max_atoms", "max_ehull")
    assert len(found) > 0.99 * len(expected)
