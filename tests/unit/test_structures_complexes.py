"""Complexes, dense cells, random alloys, any species, and strain from a range."""

import gzip
from collections import Counter

import numpy as np
import pytest
from ase.data import atomic_numbers
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.materials.plane_lattice import reduced
from defectpool.structures.build import build_structures
from defectpool.structures.labels import defect_type_of
from defectpool.structures.placement import in_plane_distances
from defectpool.structures.point_defects import interstitial_species, substituents
from defectpool.structures.structure_files import read_structures, write_structures

HOSTS = [host for host in textbook() if host.id in ("BN", "MoS2-2H", "PtSe2-1T")]


def built(defect, label="4x4", hosts=HOSTS, **values):
    structures, skipped = build_structures(hosts, defect, label, StructuresSettings(**values))
    return list(zip(structures[::2], structures[1::2], strict=True)), skipped


def undone(defective, pristine):
    """Species on the sites of the pristine supercell, from the labels; None for a vacancy."""
    expected = Counter(pristine.atoms.numbers.tolist())
    for label in defective.defects:
        new, _, old = label.name.partition("_")
        if label.kind != "vacancy":
            expected[atomic_numbers[new]] += 1
        if label.kind != "interstitial":
            expected[atomic_numbers[old]] -= 1
    return +expected


def distances(structure):
    points = np.array([label.position for label in structure.defects])
    plane = reduced(structure.atoms.cell.array[:2])
    between = in_plane_distances(points[:, None] - points, plane)
    np.fill_diagonal(between, np.inf)
    return between


@pytest.mark.parametrize("distance", ["near", "far"])
def test_complexes_are_near_or_far(distance):
    settings = {"choose": 5, "complexes": {"distance": distance, "number": [2, 3]}}
    pairs, skipped = built("complex", "6x6", **settings)
    assert len(pairs) == 15 and not skipped
    for defective, pristine in pairs:
        assert 2 <= len(defective.defects) <= 3
        assert len({label.kind for label in defective.defects}) == len(defective.defects)
        assert defective.name == "+".join(sorted(label.name for label in defective.defects))
        assert defect_type_of(defective.name, defective.formula, 1) == defective.defect
        assert Counter(defective.atoms.numbers.tolist()) == undone(defective, pristine)
        nearest = distances(defective).min(axis=1)
        assert nearest.max() <= 5 if distance == "near" else nearest.min() > 5


def test_every_label_is_where_its_atom_is(tmp_path):
    settings = {"choose": 2, "concentration": [0.05, 0.4], "interstitial_sites": ["adatom"]}
    pairs, _ = built("dense", **settings)
    assert {label.kind for one, _ in pairs for label in one.defects} == {
        "vacancy", "antisite", "substitution", "interstitial"
    }  # fmt: skip
    for defective, pristine in pairs:
        share = len(defective.defects) / len(pristine.atoms)
        assert 0.04 < share <= 0.41
        assert Counter(defective.atoms.numbers.tolist()) == undone(defective, pristine)
        assert distances(defective).min() > 0.5
        for label in defective.defects:
            if label.atom is not None:
                assert defective.atoms.symbols[label.atom] == label.name.split("_")[0]
                assert np.allclose(defective.atoms.positions[label.atom], label.position)
    structures = [one for pair in pairs for one in pair]
    write_structures(tmp_path / "000.xyz.gz", structures)
    for one, again in zip(structures, read_structures(tmp_path / "000.xyz.gz"), strict=True):
        assert again.defects == one.defects
        assert (again.count, again.defect_sites) == (one.count, one.defect_sites)


def test_a_larger_sample_contains_the_smaller_one():
    few, many = built("complex", choose=2)[0], built("complex", choose=3)[0]
    ids = [one.structure for one, _ in many]
    for defective, _ in few:
        again = many[ids.index(defective.structure)][0]
        assert again.defects == defective.defects


def test_a_full_cell_is_skipped_with_a_reason():
    _, skipped = built("complex", "1x1", complexes={"number": 5, "distance": "far"})
    assert {one.reason for one in skipped} == {"too_many_defects"}


def test_an_alloy_is_pristine(tmp_path):
    alloy = {"hosts": 1, "fraction": 0.25, "species": ["W", "C", "Ti"]}
    pairs, _ = built("vacancy", alloy=alloy)
    assert len(pairs) == 3
    for defective, pristine in pairs:
        assert len(set(pristine.atoms.symbols)) == len(set(defective.formula) & set("BNMSPW")) + 1
        assert Counter(defective.atoms.numbers.tolist()) == undone(defective, pristine)
        species = pristine.atoms.symbols[pristine.defect_site]
        assert defective.name == f"v_{species}"
        assert defective.notes == pristine.notes and "0.25" in str(defective.notes["alloy"])
    write_structures(tmp_path / "000.xyz.gz", [one for pair in pairs for one in pair])
    assert next(read_structures(tmp_path / "000.xyz.gz")).notes == pairs[0][0].notes
    _, skipped = built("substitution", substitution=["W"], alloy=alloy | {"species": ["W"]})
    assert [one.reason for one in skipped] == ["no_foreign_species"] * 3


def test_some_hosts_are_alloys():
    pairs, _ = built("vacancy", hosts=textbook(), alloy={"hosts": 0.5})
    kinds = {"alloy" in one.notes for one, _ in pairs}
    assert kinds == {True, False}


def test_any_species():
    found = substituents("Mo", "any")
    assert {"H", "U", "Cl", "W"} <= set(found)
    assert not {"Mo", "He", "Xe", "Tc", "Po"} & set(found)
    assert set(interstitial_species("any")) == {*found, "Mo"}
    assert interstitial_species(["Xe"]) == ["Xe"] and substituents("Mo", ["Xe"]) == ["Xe"]
    names = {one.name for one, _ in built("interstitial", choose=8, interstitial="any")[0]}
    assert len(names) > 8


def test_each_pair_draws_its_strain():
    pairs, _ = built("interstitial", choose=4, strain=[-0.02, 0.04])
    ideal, _ = built("interstitial", choose=4)
    drawn = {one.notes["strain"] for one, _ in pairs}
    assert len(drawn) == len(pairs) and -0.02 < min(drawn) < 0 < max(drawn) < 0.04
    for (defective, pristine), (rest, _) in zip(pairs, ideal, strict=True):
        assert defective.notes == pristine.notes
        stretch = 1 + defective.notes["strain"]
        assert np.allclose(defective.atoms.cell.array[:2], stretch * rest.atoms.cell.array[:2])
        scaled = rest.position * [stretch, stretch, 1]
        assert np.allclose(defective.position, scaled)
        assert np.allclose(defective.atoms.positions[defective.defect_site], scaled)


def test_strain_of_zero_writes_what_no_range_writes(tmp_path):
    for name, values in (("a", {}), ("b", {"strain": 0.0, "alloy": {"hosts": 0.0}})):
        pairs, _ = built("vacancy", **values)
        write_structures(tmp_path / name, [one for pair in pairs for one in pair])
    assert gzip.decompress((tmp_path / "a").read_bytes()) == gzip.decompress(
        (tmp_path / "b").read_bytes()
    )
