"""Labels of all defects of a structure, in memory and in files that ASE reads."""

import gzip
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from ase.io import read
from structure_examples import textbook

from defectpool.config import GraphSettings, StructuresSettings
from defectpool.graphs.hdf5 import read_shards, write_shard
from defectpool.structures.build import build_structures
from defectpool.structures.defect_labels import (
    DEFECT_TYPES,
    DefectLabel,
    labels_of,
    site_labels,
)
from defectpool.structures.structure_files import read_structures, write_structures

HOSTS = textbook()


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution", "interstitial"])
@pytest.mark.parametrize("models", [["none"], ["thermal"]])
def test_every_defect_has_a_label(tmp_path, defect, models):
    settings = StructuresSettings(count=3, displacements=models)
    structures, _ = build_structures(HOSTS, defect, "4x4", settings)
    ideal, _ = build_structures(HOSTS, defect, "4x4", StructuresSettings(count=3))
    path = tmp_path / "000.xyz.gz"
    write_structures(path, structures)
    with gzip.open(path, "rt") as file:
        frames = read(file, index=":", format="extxyz")
    for one, rest, again, frame in zip(
        structures, ideal, read_structures(path), frames, strict=True
    ):
        assert again.labels == one.labels
        written = json.loads(frame.info["defects"])
        assert len(written) == len(one.labels) == 3 * one.label
        for label, entry in zip(one.labels, written, strict=True):
            assert (entry["kind"], entry["name"]) == (defect, one.name)
            assert entry["position"] == list(label.position)
            offsets = rest.atoms.positions - np.array(label.position)
            plane = rest.atoms.cell.array[:2]
            offsets -= np.round(offsets @ np.linalg.pinv(plane)) @ plane
            distances = np.linalg.norm(offsets, axis=1)
            if defect == "vacancy":
                assert label.atom is None
                assert label.atoms == label.neighbors == tuple(entry["neighbors"])
                assert distances.min() > 1.2  # the atom is gone
                assert distances[list(label.neighbors)].max() <= 1.2 * distances.min() + 1e-9
            else:
                assert label.atoms == (entry["atom"],)
                assert frame.symbols[entry["atom"]] == one.species
                assert distances[entry["atom"]] < 1e-9


def test_vacancies_in_graphene_have_three_neighbors():
    host = next(host for host in HOSTS if host.id == "graphene")
    settings = StructuresSettings(count=2, min_image_distance=6.0)
    (defective, pristine), _ = build_structures([host], "vacancy", "8x8", settings)
    assert [len(label.neighbors) for label in defective.labels] == [3, 3]
    assert pristine.defects == ()


def test_a_single_defect_is_written_as_before(tmp_path):
    structures, _ = build_structures(HOSTS, "vacancy", "3x3", StructuresSettings())
    write_structures(tmp_path / "000.xyz.gz", structures)
    with gzip.open(tmp_path / "000.xyz.gz", "rt") as file:
        assert "defects=" not in file.read()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("models", [["none"], ["thermal"]])
def test_labels_reach_the_graphs(tmp_path, count, models):
    settings = StructuresSettings(count=count, displacements=models)
    structures = [
        one
        for defect in DEFECT_TYPES
        for one in build_structures(HOSTS, defect, "4x4", settings)[0]
    ]
    write_structures(tmp_path / "000.xyz.gz", structures)
    again = list(read_structures(tmp_path / "000.xyz.gz"))
    assert [one.defects for one in again] == [one.defects for one in structures]
    write_shard(tmp_path / "000.h5", again, GraphSettings(), rounds=1)
    graphs = read_shards([tmp_path / "000.h5"])
    for i, one in enumerate(structures):
        defects = slice(*graphs.defect_offset[i : i + 2])
        assert len(one.defects) == count * one.label
        code = DEFECT_TYPES.index(one.defect) + 1
        assert graphs.defect_type[defects].tolist() == [code] * len(one.defects)
        assert graphs.defect_name[defects].tolist() == [one.name] * len(one.defects)
        ideal = [defect.position for defect in one.defects]
        assert graphs.ideal_position[defects].tolist() == [list(p) for p in ideal]
        marked = np.zeros(len(one.atoms))
        for defect in one.defects:
            marked[list(defect.atoms)] = code
        sites = slice(*graphs.site_offset[i : i + 2])
        assert graphs.site_label[sites].tolist() == marked.tolist()


def test_an_atom_of_a_defect_beside_a_vacancy_has_its_own_code():
    defects = [
        DefectLabel("antisite", "S_Mo", (0.0, 0.0, 0.0), atom=1),
        DefectLabel("vacancy", "v_S", (1.0, 0.0, 0.0), neighbors=(1, 2)),
    ]
    assert site_labels(4, defects).tolist() == [0, 2, 1, 0]


def test_neighbors_of_a_vacancy_are_atoms_of_the_host():
    atoms = mx2("MoS2", vacuum=8).repeat((3, 3, 1))
    position = atoms.positions[0].copy()
    del atoms[0]
    atoms += Atoms("H", positions=[position + np.array([1.8, 0, 0])])
    labels = labels_of(
        atoms, ["vacancy", "interstitial"], ["v_Mo", "H_i"],
        np.array([position, atoms.positions[-1]]), [-1, len(atoms) - 1],
    )  # fmt: skip
    assert len(labels[0].neighbors) == 6
    assert {atoms.symbols[row] for row in labels[0].neighbors} == {"S"}
