"""Examples: files and pictures."""

import ase.io
import matplotlib.image
import numpy as np
import pytest
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.graphs import cif_to_graph
from defectpool.structures.build import build_structures
from defectpool.structures.pictures import MARK, draw, write_examples

HOSTS = {host.id: host for host in textbook()}
DEFECTS = ("vacancy", "antisite", "substitution", "interstitial")
SETTINGS = StructuresSettings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    assert write_examples(HOSTS["MoS2-2H"], DEFECTS, "3x3", SETTINGS, folder) == []
    return folder


@pytest.mark.parametrize("defect", DEFECTS)
def test_cif_and_poscar_hold_the_structure(folder, defect):
    structures, _ = build_structures([HOSTS["MoS2-2H"]], defect, "3x3", SETTINGS)
    for structure in structures:
        name = structure.structure.replace(":", "_")
        for end, form in ((".cif", "cif"), (".vasp", "vasp")):
            read = ase.io.read(folder / f"{name}{end}", format=form)
            assert sorted(read.numbers) == sorted(structure.atoms.numbers)
            ours = np.sort(structure.atoms.get_all_distances(mic=True), axis=None)
            theirs = np.sort(read.get_all_distances(mic=True), axis=None)
            np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_a_cif_makes_a_graph(folder):
    graph = cif_to_graph(next(folder.glob("*v_*pristine.cif")))
    assert graph.x.shape == (27, 92)


def test_the_picture_marks_every_defect_in_both_supercells(folder):
    picture = matplotlib.image.imread(next(folder.glob("*.png")))[..., :3]
    assert min(picture.shape[:2]) > 1000
    color = np.array([int(MARK[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    marked = np.abs(picture - color).max(axis=2) < 0.02
    rows, columns = np.array_split(np.arange(marked.shape[0] - 150), 2), 4
    for half in rows:
        for part in np.array_split(np.arange(marked.shape[1]), columns):
            assert marked[np.ix_(half, part)].sum() > 100


def test_drawings_are_the_same_bytes(tmp_path):
    structures, _ = build_structures([HOSTS["BN"]], "vacancy", "3x3", SETTINGS)
    pair = (structures[0], structures[1])
    for name in ("a", "b"):
        draw([pair], [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"])
    for end in ("svg", "png"):
        assert (tmp_path / f"a.{end}").read_bytes() == (tmp_path / f"b.{end}").read_bytes()


def test_a_host_without_antisites_is_drawn_without_them(tmp_path):
    left_out = write_examples(HOSTS["graphene"], DEFECTS, "4x4", SETTINGS, tmp_path)
    assert [skipped.reason for skipped in left_out] == ["elemental"]
    assert next(tmp_path.glob("*.svg")).stat().st_size > 10_000
