"""Samples of the measurements on C2DB hosts and on real cells."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from defectpool.lattice import analyze

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import host_lattice


def read(shared_data: Path, name: str, every: int) -> list:
    from ase.io import read as read_frames

    path = shared_data / "real" / name
    if not path.is_file():
        pytest.skip(f"no real cells at {path}")
    with gzip.open(path, "rt") as stream:
        return read_frames(stream, index=f"::{every}", format="extxyz")


@pytest.mark.parametrize(
    ("name", "every"),
    [
        ("hbn_monolayer_relaxed.xyz.gz", 9),
        ("hbn_bulk_relaxed.xyz.gz", 21),
        ("mose2_molecular_dynamics.xyz.gz", 13),
    ],
)
def test_real_defects_are_found_by_name_and_thermal_cells_are_pristine(
    shared_data, name, every
) -> None:
    for atoms in read(shared_data, name, every):
        expected = sorted(d["name"] for d in json.loads(atoms.info["defects"]))
        finding = analyze(atoms)
        assert finding.verdict == ("defective" if expected else "pristine"), atoms.info
        names = sorted(d.name for d in finding.defects)
        same = names == expected or host_lattice.same_cell(expected, names, finding)
        assert same, (atoms.info["name"], names)


def test_defects_in_c2db_hosts_are_found(c2db) -> None:
    cases = list(host_lattice.cells(host_lattice.monolayers(60, seed=11), 11, (3, 4)))
    wrong = [
        (case.host, case.label, case.noise)
        for case in cases
        if not all(host_lattice.judge(case, analyze(case.atoms)).values())
    ]
    assert len(wrong) <= 1, wrong
