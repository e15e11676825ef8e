"""Labels of all defects of a structure, in memory and in files that ASE reads."""

import gzip
import json

import numpy as np
import pytest
from ase.io import read
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.structures.build import build_structures
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
    assert pristine.labels == ()


def test_a_single_defect_is_written_as_before(tmp_path):
    structures, _ = build_structures(HOSTS, "vacancy", "3x3", StructuresSettings())
    write_structures(tmp_path / "000.xyz.gz", structures)
    with gzip.open(tmp_path / "000.xyz.gz", "rt") as file:
        assert "defects=" not in file.read()
