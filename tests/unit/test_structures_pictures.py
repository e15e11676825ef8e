"""Examples: files and pictures."""

import ase.io
import matplotlib.image
import numpy as np
import pytest
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs import cif_to_graph
from defectpool.structures.build import build_structures
from defectpool.structures.pictures import MARK, draw, example_host, write_examples

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


def test_the_first_host_is_the_example_if_none_is_named():
    hosts = list(HOSTS.values())[::-1]
    assert example_host(hosts, None).id == example_host(hosts, "").id == min(HOSTS)
    assert example_host(hosts, "graphene").id == "graphene"
    for wanted, some in (("1MoS2-1", hosts), (None, [])):
        with pytest.raises(DefectpoolError, match=r"examples\.host: there is no host"):
            example_host(some, wanted)


def test_titles_name_host_defect_and_supercell(folder):
    poscar = folder / "MoS2-2H_S_Mo.0_3x3.vasp"
    assert poscar.read_text().splitlines()[0] == "MoS2-2H S_Mo.0 3x3 defective"
    cif = (folder / "MoS2-2H_S_Mo.0_3x3_pristine.cif").read_text()
    assert [line for line in cif.splitlines() if line.startswith("data_")] == [
        "data_MoS2-2H_S_Mo.0_3x3_pristine"
    ]


def test_the_picture_has_a_scale_bar_and_the_axes(tmp_path):
    from matplotlib.figure import Figure

    from defectpool.structures.pictures import _cell_axes, scale_bar

    structures, _ = build_structures([HOSTS["MoS2-2H"]], "vacancy", "5x5", SETTINGS)
    axes = Figure(figsize=(2, 2)).add_subplot()
    axes.set(xlim=(-8, 8), ylim=(-8, 8), aspect="equal")
    scale_bar(axes, 8.0)
    _cell_axes(axes, structures[0], 8.0)
    bar = axes.lines[0].get_xdata()
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["5 Å", "a", "b"]
    assert bar[1] - bar[0] == pytest.approx(5.0)
    a, b = (arrow.xy - np.array(arrow.xyann) for arrow in axes.texts if not arrow.get_text())
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert cosine == pytest.approx(-0.5)
    for text in axes.texts:
        assert np.abs(text.get_position()).max() < 8
