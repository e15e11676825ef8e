"""Pairs of defective and pristine supercells: undoing the defect, sampling, rattling, files."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import ase.io
import numpy as np
import pytest
from ase.data import atomic_numbers
from ase.geometry import get_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from structure_examples import sample, textbook

from defectpool.config import StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import (
    read_structures,
    write_skipped,
    write_structures,
)

HOSTS = textbook()
BY_ID = {host.id: host for host in HOSTS}
DEFECTS = ("vacancy", "antisite", "substitution", "interstitial")
DEFAULT = StructuresSettings()


def changed(**values):
    return DEFAULT.model_copy(update=values)


def pairs(structures):
    return list(zip(structures[::2], structures[1::2], strict=True))


def undone(structure):
    """Take the defect out of the defective supercell with ASE; the order of the sites changes."""
    atoms = structure.atoms.copy()
    match structure.defect:
        case "vacancy":
            atoms.append(structure.replaced)
            atoms.positions[-1] = structure.position
        case "interstitial":
            assert atoms[structure.defect_site].symbol == structure.species
            del atoms[structure.defect_site]
        case _:
            assert atoms[structure.defect_site].symbol == structure.species
            atoms[structure.defect_site].symbol = structure.replaced
    return atoms


def check_pair(defective, pristine):
    assert defective.pair == pristine.pair == defective.structure
    assert (defective.label, pristine.label) == (1, 0)
    assert pristine.structure == f"{pristine.pair}:pristine"
    np.testing.assert_array_equal(defective.position, pristine.position)
    atoms = undone(defective)
    np.testing.assert_array_equal(atoms.cell.array, pristine.atoms.cell.array)
    assert Counter(atoms.symbols) == Counter(pristine.atoms.symbols)
    ours = sorted(zip(atoms.numbers.tolist(), atoms.positions.tolist(), strict=True))
    theirs = sorted(
        zip(pristine.atoms.numbers.tolist(), pristine.atoms.positions.tolist(), strict=True)
    )
    np.testing.assert_array_equal([n for n, _ in ours], [n for n, _ in theirs])
    np.testing.assert_allclose([p for _, p in ours], [p for _, p in theirs], atol=1e-12)
    if defective.defect == "interstitial":
        assert pristine.defect_site == -1
        np.testing.assert_allclose(
            defective.atoms.positions[defective.defect_site], defective.position, atol=1e-12
        )
    else:
        assert pristine.atoms[pristine.defect_site].symbol == defective.replaced
        np.testing.assert_allclose(
            pristine.atoms.positions[pristine.defect_site], pristine.position, atol=1e-12
        )
    if defective.defect == "vacancy":
        assert defective.defect_site == -1
        assert defective.species == ""


supercells = st.sampled_from(["1x1", "2x2", "3x2", "2_1x-1_1", "4x4", "1_2x3_1"])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(HOSTS),
    st.sampled_from(DEFECTS),
    supercells,
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.0, 0.03]),
)
def test_undoing_the_defect_gives_the_pristine_supercell(host, defect, supercell, rattle, strain):
    settings = changed(choose="all", rattle=rattle, strain=strain)
    structures, skipped = build_structures([host], defect, supercell, settings)
    assert structures or skipped
    for defective, pristine in pairs(structures):
        check_pair(defective, pristine)


@pytest.mark.parametrize("defect", DEFECTS)
def test_undoing_the_defect_in_c2db(c2db, defect):
    hosts = sample(c2db, 25, seed=4)
    for supercell in ("1x1", "2x2", "3x2"):
        structures, skipped = build_structures(hosts, defect, supercell, changed(choose=3))
        seen = {s.host for s in structures} | {s.host for s in skipped}
        assert seen == {host.id for host in hosts}
        assert len({s.structure for s in structures}) == len(structures)
        for defective, pristine in pairs(structures):
            check_pair(defective, pristine)


def test_equivalent_sites_and_names_of_2h_mos2():
    host = BY_ID["MoS2-2H"]
    found = {}
    for defect in DEFECTS:
        structures, _ = build_structures([host], defect, "3x3", changed(choose="all"))
        found |= {
            s.structure.split(":")[1]: (s.multiplicity, s.site_symmetry)
            for s in structures
            if s.label and s.defect != "interstitial"
        }
    assert found == {
        "v_Mo.0": (1, "-6m2"),
        "v_S.0": (2, "3m"),
        "S_Mo.0": (1, "-6m2"),
        "Mo_S.0": (2, "3m"),
        "H_Mo.0": (1, "-6m2"),
        "H_S.0": (2, "3m"),
        "Li_Mo.0": (1, "-6m2"),
        "Li_S.0": (2, "3m"),
    }


@pytest.mark.parametrize("choose", [1, 2, 5, "all"])
def test_labels_are_balanced(choose):
    for defect in DEFECTS:
        structures, _ = build_structures(HOSTS, defect, "2x2", changed(choose=choose))
        assert sum(s.label for s in structures) * 2 == len(structures)
        per_host = Counter((s.host, s.label) for s in structures)
        assert all(per_host[h, 0] == per_host[h, 1] for h, _ in per_host)


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_sample_depends_on_the_host_alone(defect):
    together = {
        s.host: s.structure.rsplit(":", 1)[0]
        for s in build_structures(HOSTS, defect, "2x2", DEFAULT)[0]
        if s.label
    }
    for host in HOSTS:
        for supercell in ("2x2", "5x5"):
            alone, _ = build_structures([host], defect, supercell, DEFAULT)
            if alone:
                assert alone[0].structure.rsplit(":", 1)[0] == together[host.id]


def test_a_larger_sample_contains_the_smaller_one():
    host = BY_ID["PtSe2-1T"]
    sampled = [
        {s.pair for s in build_structures([host], "interstitial", "2x2", changed(choose=k))[0]}
        for k in range(1, 8)
    ]
    assert all(len(names) == k for k, names in enumerate(sampled, start=1))
    assert all(small < large for small, large in pairwise(sampled))
    # the names take turns
    assert {name.split(":")[1].split(".")[0] for name in sampled[3]} == {
        "H_i", "Li_i", "Ag_i", "Br_i",
    }  # fmt: skip


def test_another_seed_gives_another_sample():
    def sampled(seed):
        structures, _ = build_structures(HOSTS, "interstitial", "2x2", changed(seed=seed))
        return [s.structure for s in structures]

    assert sampled(0) == sampled(0)
    assert len({tuple(sampled(seed)) for seed in range(4)}) > 1


def test_structures_that_cannot_be_built_have_a_reason():
    def reasons(defect, supercell="2x2", **values):
        return [s.reason for s in build_structures(hosts, defect, supercell, changed(**values))[1]]

    hosts = [BY_ID["graphene"]]
    assert reasons("antisite") == ["elemental"]
    assert reasons("substitution", substitution=["C"]) == ["no_foreign_species"]
    assert reasons("interstitial", interstitial=["Cs"], min_separation=1.0) == [
        "no_interstitial_site"
    ]
    assert reasons("vacancy", min_image_distance=10.0) == ["images_too_close"]
    assert reasons("vacancy", count=9) == ["too_many_defects"]
    hosts = [BY_ID["one-atom"]]
    assert reasons("vacancy", "1x1") == ["nothing_left"]
    broken = BY_ID["graphene"].atoms.copy()
    broken.positions[1] = broken.positions[0]
    hosts = [replace(BY_ID["graphene"], atoms=broken)]
    assert reasons("vacancy") == ["no_symmetry"]


def test_supercells_are_enlarged_where_images_are_too_close():
    settings = changed(min_image_distance=9.0, too_close="enlarge")
    structures, skipped = build_structures([BY_ID["graphene"]], "vacancy", "2x2", settings)
    assert not skipped
    assert structures[0].supercell == "4x4"
    assert len(structures[1].atoms) == 32
    assert structures[0].structure.endswith(":4x4")


@pytest.mark.parametrize("defect", DEFECTS)
def test_several_defects_are_apart(defect):
    settings = changed(count=4, min_image_distance=5.0)
    structures, skipped = build_structures([BY_ID["MoS2-2H"]], defect, "6x6", settings)
    assert not skipped
    defective, pristine = structures
    assert defective.count == 4
    changes = {"vacancy": -4, "interstitial": 4}.get(defect, 0)
    assert len(defective.atoms) - len(pristine.atoms) == changes
    if defect == "interstitial":
        where = defective.atoms.positions[list(defective.defect_sites)]
    else:
        assert len(set(pristine.defect_sites)) == 4
        where = pristine.atoms.positions[list(pristine.defect_sites)]
    assert where[0] == pytest.approx(defective.position)
    apart = get_distances(where, cell=pristine.atoms.cell, pbc=(True, True, False))[1]
    assert apart[np.triu_indices(4, 1)].min() >= 5.0
    if defect in ("antisite", "substitution"):
        assert {defective.atoms[i].symbol for i in defective.defect_sites} == {defective.species}


def test_rattling_is_gaussian_seeded_and_the_same_for_both_of_a_pair():
    host = BY_ID["MoS2-2H"]
    still, _ = build_structures([host], "substitution", "9x9", DEFAULT)
    first, _ = build_structures([host], "substitution", "9x9", changed(rattle=0.05))
    again, _ = build_structures([host], "substitution", "9x9", changed(rattle=0.05))
    np.testing.assert_array_equal(first[0].atoms.positions, again[0].atoms.positions)
    np.testing.assert_array_equal(first[0].atoms.positions, first[1].atoms.positions)
    moves = first[1].atoms.positions - still[1].atoms.positions
    assert moves.std() == pytest.approx(0.05, rel=0.1)
    assert abs(moves.mean()) < 0.01


def test_strain_stretches_the_plane_only():
    host = BY_ID["BN"]
    still, _ = build_structures([host], "vacancy", "3x3", DEFAULT)
    pulled, _ = build_structures([host], "vacancy", "3x3", changed(strain=0.02))
    cell, stretched = still[1].atoms.cell.array, pulled[1].atoms.cell.array
    np.testing.assert_allclose(stretched[:2], 1.02 * cell[:2])
    np.testing.assert_array_equal(stretched[2], cell[2])
    np.testing.assert_allclose(
        pulled[1].atoms.get_scaled_positions(), still[1].atoms.get_scaled_positions(), atol=1e-12
    )


@pytest.mark.parametrize("defect", DEFECTS)
def test_structures_are_read_back_with_the_same_bits(tmp_path, defect):
    settings = changed(choose=2, count=2, substitution=["F", "H"])
    structures, skipped = build_structures(HOSTS, defect, "3x3", settings)
    path = tmp_path / "000.xyz.gz"
    write_structures(path, structures)
    back = list(read_structures(path))
    assert len(back) == len(structures)
    for ours, theirs in zip(structures, back, strict=True):
        assert ours.atoms == theirs.atoms
        np.testing.assert_array_equal(ours.atoms.positions, theirs.atoms.positions)
        np.testing.assert_array_equal(ours.position, theirs.position)
        for name in ours.__dataclass_fields__:
            if name not in ("atoms", "position"):
                left, right = getattr(ours, name), getattr(theirs, name)
                assert left == right or (left != left and right != right)
    frames = ase.io.read(path, index=":", format="extxyz")
    for ours, theirs in zip(structures, frames, strict=True):
        assert theirs.pbc.tolist() == [True, True, False]
        np.testing.assert_array_equal(ours.atoms.positions, theirs.positions)
        np.testing.assert_array_equal(ours.atoms.numbers, theirs.numbers)
        assert theirs.info["structure"] == ours.structure
        assert theirs.info["species"] == ours.species
        assert theirs.info["label"] == ours.label
    write_structures(tmp_path / "again.xyz.gz", structures)
    assert (tmp_path / "again.xyz.gz").read_bytes() == path.read_bytes()
    write_skipped(tmp_path / "skipped.csv", skipped)
    header = (tmp_path / "skipped.csv").read_text().splitlines()[0]
    assert header == "host,defect,supercell,name,reason,message"


def test_a_damaged_file_is_named(tmp_path):
    structures, _ = build_structures(HOSTS, "vacancy", "3x3", DEFAULT)
    path = tmp_path / "000.xyz.gz"
    write_structures(path, structures)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no gzip", whole[:100] + bytes(50) + whole[150:]):
        path.write_bytes(damaged)
        with pytest.raises(DefectpoolError, match=r"000\.xyz\.gz"):
            list(read_structures(path))


def test_bytes_do_not_depend_on_the_hash_seed(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from structure_examples import textbook\n"
        "from defectpool.config import StructuresSettings\n"
        "from defectpool.structures.build import build_structures\n"
        "from defectpool.structures.structure_files import write_structures\n"
        "s = StructuresSettings(choose=4, rattle=0.01, substitution='neighbors')\n"
        "found = [x for d in ('antisite', 'substitution', 'interstitial')\n"
        "         for x in build_structures(textbook(), d, '2x2', s)[0]]\n"
        "write_structures(Path(sys.argv[1]), found)\n"
    )
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.xyz.gz"
        places = [p for p in sys.path if p]
        subprocess.run(
            [sys.executable, "-c", code, path, *places],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_building_structures_imports_neither_torch_nor_pymatgen():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import defectpool.structures.build\n"
        "assert not {'torch', 'pymatgen'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, *[p for p in sys.path if p]], check=True)


def test_species_are_elements():
    assert all(s in atomic_numbers for s in DEFAULT.interstitial)
