"""OPTIMADE downloads from the `optimade` package's own server, with faults on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ase.db import connect

from defectpool.config import MaterialsSettings
from defectpool.errors import DefectpoolError
from defectpool.materials import embedded, optimade
from defectpool.materials.host import Rejected, read_hosts
from defectpool.materials.select import select_hosts

pytest.importorskip("mongomock")
from optimade_server import answering, serving

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
HOSTS = [
    replace(host, properties=host.properties | {"ehull": number / 1000, "dyn_stab": "Yes"})
    for number, host in enumerate(embedded.hosts())
]


@pytest.fixture(scope="module")
def server():
    with serving(HOSTS) as (url, faults):
        yield url, faults


@pytest.fixture(autouse=True)
def small_pages(server, monkeypatch):
    monkeypatch.setattr(optimade, "PAGE", 20)
    monkeypatch.setattr(optimade, "FIRST_WAIT", 0.01)
    faults = server[1]
    faults.spoil, faults.always, faults.like_c2db = {}, None, False
    faults.queries.clear()


def hosts_of(folder: Path, **keys) -> dict[str, tuple]:
    select_hosts(MaterialsSettings(**keys), 2, folder)
    hosts = [h for label in ("000", "001") for h in read_hosts(folder / "hosts" / f"{label}.xyz")]
    return {
        h.id: (h.atoms.numbers.tolist(), h.atoms.positions.tobytes(), h.atoms.cell.array.tobytes())
        for h in hosts
    }


def from_database(tmp_path: Path, **keys) -> dict[str, tuple]:
    with connect(tmp_path / "hosts.db") as rows:
        for host in HOSTS:
            facts = {key: host.properties[key] for key in ("ehull", "dyn_stab")}
            rows.write(host.atoms, uid=host.id, **facts)
    path = str(tmp_path / "hosts.db")
    return hosts_of(tmp_path / "db", source="database", path=path, **keys)


def test_the_server_gives_the_hosts_of_the_database(server, tmp_path) -> None:
    url, faults = server
    keys = {"max_ehull": 0.1, "max_atoms": 5, "dynamic_stability": "stable"}
    cache = str(tmp_path / "cache")
    found = hosts_of(tmp_path / "net", source="optimade", url=url, cache=cache, **keys)
    assert found == from_database(tmp_path, **keys)
    assert len(faults.queries) == -(-len(HOSTS) // 20)

    faults.always = 503  # a rerun needs no network
    again = hosts_of(tmp_path / "again", source="optimade", url=url, cache=cache, **keys)
    assert again == found
    record = json.loads((tmp_path / "again" / "source.json").read_text())
    assert record["place"] == url and record["date"].startswith("20")


def test_faults_do_not_change_the_hosts(server, tmp_path) -> None:
    url, faults = server
    faults.spoil = {2: 429, 4: "cut", 5: 500, 6: 502, 9: 503, 10: "cut", 12: 504}
    cache = str(tmp_path / "cache")
    found = hosts_of(tmp_path / "net", source="optimade", url=url, cache=cache)
    assert found == from_database(tmp_path)
    assert len(faults.queries) == -(-len(HOSTS) // 20) + 7


@pytest.mark.parametrize("size", [20, 59])  # 177 hosts: the last page is short, or full
def test_a_server_like_c2db_is_read_to_its_end(server, tmp_path, monkeypatch, size) -> None:
    url, faults = server
    faults.like_c2db = True
    monkeypatch.setattr(optimade, "PAGE", size)
    monkeypatch.setattr(optimade, "ATTEMPTS", 1)
    faults.spoil = {3: 503}
    with pytest.raises(DefectpoolError, match="no answer"):
        optimade.fetch(url, "", tmp_path / "cache")
    cache = str(tmp_path / "cache")
    found = hosts_of(tmp_path / "net", source="optimade", url=url, cache=cache)
    expected = from_database(tmp_path)
    assert sorted(found.values()) == sorted(expected.values())
    assert len(faults.queries) == -(-len(HOSTS) // size) + 2  # the failed one and the empty page
    assert not any(name.isdigit() for name in found)  # row numbers are no ids
    other = str(tmp_path / "other")
    again = hosts_of(tmp_path / "again", source="optimade", url=url, cache=other)
    assert again == found
    records = [json.loads((tmp_path / n / "source.json").read_text()) for n in ("net", "again")]
    assert records[0]["sha256"] == records[1]["sha256"]


def test_an_interrupted_download_resumes(server, tmp_path, monkeypatch) -> None:
    url, faults = server
    cache = str(tmp_path / "cache")
    keys = {"source": "optimade", "url": url, "cache": cache, "filter": "nelements=2"}
    monkeypatch.setattr(optimade, "ATTEMPTS", 3)
    faults.spoil = dict.fromkeys((3, 4, 5), "cut")
    with pytest.raises(DefectpoolError, match="what has arrived is kept"):
        select_hosts(MaterialsSettings(**keys), 2, tmp_path / "net")
    (partial,) = Path(cache).glob("*.part")
    with partial.open("a") as file:
        file.write('{"url": "torn')  # as left by a kill during a write
    asked = len(faults.queries)
    found = hosts_of(tmp_path / "net", **keys)
    assert "page_offset=40" in faults.queries[asked]
    assert not partial.exists()
    expected = from_database(tmp_path)
    assert found == {name: expected[name] for name in found}
    two = {host.id for host in HOSTS if len(set(host.atoms.symbols)) == 2}
    assert set(found) == two & set(expected)


def test_a_killed_download_resumes(server, tmp_path) -> None:
    url, faults = server
    cache = tmp_path / "cache"
    code = (
        "import sys; from pathlib import Path; from defectpool.materials import optimade;"
        "optimade.PAGE = 20; optimade.FIRST_WAIT = 60;"
        "optimade.fetch(sys.argv[1], '', Path(sys.argv[2]))"
    )
    faults.spoil = {3: "cut"}
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    child = subprocess.Popen(
        [sys.executable, "-c", code, url, str(cache)], env=environment, stdout=subprocess.DEVNULL
    )
    while len(faults.queries) < 3:  # it then waits a minute to try again
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    keys = {"source": "optimade", "url": url, "cache": str(cache)}
    assert hosts_of(tmp_path / "net", **keys) == from_database(tmp_path)
    assert "page_offset=40" in faults.queries[3]
    assert len(faults.queries) == -(-len(HOSTS) // 20) + 1


def test_a_changed_server_is_noticed(server, tmp_path, monkeypatch) -> None:
    url, faults = server
    monkeypatch.setattr(optimade, "ATTEMPTS", 1)
    faults.spoil = {3: 503}
    with pytest.raises(DefectpoolError, match="no answer"):
        optimade.fetch(url, "", tmp_path)
    (partial,) = tmp_path.glob("*.part")
    partial.write_text(partial.read_text().replace(f'"total": {len(HOSTS)}', '"total": 5'))
    with pytest.raises(DefectpoolError, match="changed during the download"):
        optimade.fetch(url, "", tmp_path)
    download = optimade.fetch(url, "", tmp_path)
    assert len(list(optimade.candidates(download.path))) == len(HOSTS)


def test_a_filter_that_cannot_work_is_refused_at_once(server, tmp_path) -> None:
    url, faults = server
    with pytest.raises(DefectpoolError, match="not in OPTIMADE's language"):
        optimade.fetch(url, "nelements==2 AND", tmp_path)
    assert not faults.queries
    with pytest.raises(DefectpoolError, match=r"refuses.*not_a_key"):
        optimade.fetch(url, "not_a_key=2", tmp_path)
    assert len(faults.queries) == 1


def test_a_refused_connection_is_tried_twice(tmp_path, capfd) -> None:
    with pytest.raises(DefectpoolError, match=r"no answer in 2 attempts \(no server listens"):
        optimade.fetch("http://127.0.0.1:9", "", tmp_path)
    screen = capfd.readouterr().err
    assert screen.count("attempt 2 of 2 in") == 1


def test_an_unknown_server_is_tried_twice(tmp_path) -> None:
    with pytest.raises(DefectpoolError, match="no answer in 2 attempts"):
        optimade.fetch("http://no.such.server.invalid", "", tmp_path)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org", "example.org/optimade", "http://", ""]
)
def test_other_addresses_are_refused_at_once(tmp_path, url) -> None:
    started = time.monotonic()
    with pytest.raises(DefectpoolError, match=r"materials\.url: .* is not the address of a server"):
        optimade.fetch(url, "", tmp_path)
    assert time.monotonic() - started < 1
    assert not list(tmp_path.iterdir())


def test_links_to_other_schemes_are_refused(tmp_path) -> None:
    page = {"data": [], "links": {"next": "file:///etc/passwd"}}
    with (
        answering(lambda path: page) as url,
        pytest.raises(DefectpoolError, match="is not an http or https address"),
    ):
        optimade.fetch(url, "", tmp_path)


def entry(**changes) -> dict:
    attributes = {
        "lattice_vectors": [[3, 0, 0], [0, 3, 0], [None, None, None]],
        "cartesian_site_positions": [[0, 0, 0]],
        "species_at_sites": ["C"],
        "species": [{"name": "C", "chemical_symbols": ["C"], "concentration": [1.0]}],
        "dimension_types": [1, 1, 0],
        "_c2db_ehull": 0.2,
        "uid": "1C-1",
    }
    return {"id": "17", "type": "structures", "attributes": attributes | changes}


def only(tmp_path: Path, sent: object):
    path = tmp_path / "x.jsonl"
    path.write_text('{"url": "https://example.org/optimade"}\n' + json.dumps({"data": [sent]}))
    (candidate,) = optimade.candidates(path)
    return candidate


def test_circular_links_between_pages_are_refused(tmp_path) -> None:
    paths = []

    def reply(path: str) -> dict:
        paths.append(path)
        return {"data": [], "links": {"next": {"href": f"{url}/v1/structures?page={path[-1:]}"}}}

    with answering(reply) as url, pytest.raises(DefectpoolError, match="round in circles"):
        optimade.fetch(url, "", tmp_path)
    assert len(paths) == 2


def test_a_server_without_links_and_offsets_has_one_page(tmp_path) -> None:
    with answering(lambda path: {"data": [entry()]}) as url:
        download = optimade.fetch(url, "", tmp_path)
    assert len(list(optimade.candidates(download.path))) == 1


def test_an_answer_that_is_not_optimade_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(optimade, "ATTEMPTS", 2)
    for answer in ({"data": {}}, {}, [], "text", None):
        with (
            answering(lambda path, answer=answer: answer) as url,
            pytest.raises(DefectpoolError, match="no answer in 2 attempts"),
        ):
            optimade.fetch(url, "", tmp_path)


def test_an_entry_is_read_by_the_specification(tmp_path) -> None:
    found = only(tmp_path, entry())
    assert found.id == "1C-1" and found.properties == {"ehull": 0.2}
    assert found.atoms.pbc.tolist() == [True, True, False]
    assert (found.atoms.cell[2] == 0).all()
    assert found.source == "example.org/17"
    assert only(tmp_path, entry(species=None)).atoms.get_chemical_formula() == "C"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (None, "unreadable"),
        ({}, "unreadable"),
        ({"id": "1", "attributes": None}, "unreadable"),
        (entry(lattice_vectors=None), "unreadable"),
        (entry(cartesian_site_positions=[[0, 0]]), "unreadable"),
        (entry(species_at_sites=["C", "C"]), "unreadable"),
        (entry(species=[{"name": "C"}]), "unreadable"),
        (
            entry(
                species=[{"name": "C", "chemical_symbols": ["C", "N"], "concentration": [0.5, 0.5]}]
            ),
            "partial_occupancy",
        ),
        (
            entry(species=[{"name": "C", "chemical_symbols": ["C"], "concentration": [0.5]}]),
            "partial_occupancy",
        ),
    ],
)
def test_an_invalid_entry_is_rejected(tmp_path, sent, reason) -> None:
    found = only(tmp_path, sent)
    assert isinstance(found, Rejected) and found.reason == reason
