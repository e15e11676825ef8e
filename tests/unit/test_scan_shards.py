"""Scan in shards: a new file adds its own work and redoes none."""

import csv
import json
from pathlib import Path

import ase.io
import pytest
from scan_examples import layer, rock_salt

from defectpool.errors import DefectpoolError
from defectpool.scan import merging, shards
from defectpool.scan.result import Limits

LIMITS = Limits()


@pytest.fixture
def cells(tmp_path):
    """Return a folder of files, one of them broken, one with two frames."""
    folder = tmp_path / "cells"
    (folder / "sub").mkdir(parents=True)
    ase.io.write(folder / "POSCAR", layer(), format="vasp")
    ase.io.write(folder / "sub" / "two.xyz", [layer(3), layer(4)])
    ase.io.write(folder / "a.cif", rock_salt())
    (folder / "broken.cif").write_text("data_\n_cell\n")
    return folder


class Campaign:
    """Shards of a scan below a folder."""

    def __init__(self, cells: Path, folder: Path, count: int = 2) -> None:
        self.cells, self.folder = cells, folder
        self.labels = [f"{number:03d}" for number in range(count)]

    def path(self, name: str, label: str) -> Path:
        return self.folder / name / label

    def run(self, code: str = "1") -> int:
        """Return how many files were scanned."""
        shards.write_lists(str(self.cells), [self.path("files", x) for x in self.labels])
        scanned = sum(
            shards.scan_shard(
                self.path("files", x), self.path("shards", x), self.path("state", x), LIMITS, code
            )
            for x in self.labels
        )
        paths = [self.path("shards", x) for x in self.labels]
        self.counts = merging.merge(paths, self.folder, self.folder / "report.html")
        return scanned

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))


def test_a_new_file_adds_its_own_work(cells, tmp_path):
    campaign = Campaign(cells, tmp_path / "scan")
    assert campaign.run() == 4
    assert [(row["path"], row["frame"]) for row in campaign.rows("structures")] == [
        ("POSCAR", "0"), ("a.cif", "0"), ("broken.cif", "0"),
        ("sub/two.xyz", "0"), ("sub/two.xyz", "1"),
    ]  # fmt: skip
    assert campaign.counts == {"defective": 4, "undecided": 1}
    before = {path: path.read_bytes() for path in (tmp_path / "scan").glob("shards/*")}
    assert campaign.run() == 0
    assert before == {path: path.read_bytes() for path in (tmp_path / "scan").glob("shards/*")}
    ase.io.write(cells / "new.cif", rock_salt())
    assert campaign.run() == 1
    assert campaign.counts == {"defective": 5, "undecided": 1}
    (cells / "new.cif").unlink()
    (cells / "a.cif").touch()
    assert campaign.run() == 0
    assert campaign.counts == {"defective": 4, "undecided": 1}
    assert campaign.run(code="2") == 4


def test_a_killed_job_goes_on_where_it_was(cells, tmp_path):
    campaign = Campaign(cells, tmp_path / "scan", count=1)
    campaign.run()
    state = campaign.path("state", "000")
    lines = state.read_text().splitlines()
    assert len(lines) == 4
    state.write_text("\n".join([*lines[:2], lines[2][:100]]))  # killed while it wrote
    assert campaign.run() == 2


def test_few_structures_are_drawn(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "DRAWN", 1)
    campaign = Campaign(cells, tmp_path / "scan", count=1)
    campaign.run()
    kept = [json.loads(line) for line in campaign.path("state", "000").read_text().splitlines()]
    drawn = [r["path"] for line in kept for r in line["records"] if "drawing" in r]
    assert len(drawn) == 1
    assert "report" in (tmp_path / "scan" / "report.html").name


def test_nothing_to_scan_is_said(tmp_path):
    with pytest.raises(DefectpoolError, match="there is no structure at"):
        shards.digest_of(str(tmp_path / "gone"))
    with pytest.raises(DefectpoolError, match="there is no structure at"):
        shards.digest_of(str(tmp_path))
