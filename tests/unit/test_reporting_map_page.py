"""Drawings of the map's page: colors, marks, and one drawing for 3D and from above."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from structure_examples import textbook

from defectpool.config import MapSettings, StructuresSettings
from defectpool.evaluation.lattice_baseline import analyzed
from defectpool.reporting import map_gallery, page_parts
from defectpool.reporting.map_drawing import STEPS, Example, color_of, drawing, picture, scaled
from defectpool.structures.map_cells import build_cells

HOSTS = [host for host in textbook() if host.id == "MoS2-2H"]


def cells(defect, axis="temperature"):
    chosen = MapSettings(hosts=1, temperature=[300], concentration=[0.1])
    return build_cells(HOSTS, axis, [defect], chosen, StructuresSettings())[0]


def drawn(one, said=()):
    scores = np.linspace(0, 1, len(one.atoms))
    return drawing(Example(one, scores, analyzed(one.atoms), "title <1>", said))


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution", "interstitial"])
def test_a_drawing_marks_the_defect_and_what_the_lattice_found(defect):
    one = next(one for one in cells(defect) if one.label)
    found = drawn(one)
    assert len(found["atoms"]) == len(found["scores"]) == len(found["colors"]) == len(one.atoms)
    assert [name for name, *_ in found["true"]] == [one.name]
    ((name, *place),) = found["found"]
    assert name == one.name
    # in the same image of the cell
    assert np.linalg.norm(np.subtract(place, found["true"][0][1:])) < 1
    assert found["colors"][0] == STEPS[0] and found["colors"][-1] == STEPS[-1]


def test_the_picture_has_every_atom_in_its_color_and_every_mark():
    one = next(one for one in cells("all", "concentration") if one.label)
    found = drawn(one)
    tree = ET.fromstring(picture(found))
    circles = tree.findall("circle")
    atoms = [circle for circle in circles if circle.get("class") != "true"]
    assert sorted(c.get("fill") for c in atoms) == sorted(found["colors"])
    assert len(circles) - len(atoms) == len(one.defects) > 1
    assert len(tree.findall("rect")) == len(found["found"])
    assert tree.get("aria-label") == "title <1>, from above"


def test_colors_get_darker_with_the_score():
    def lightness(color):
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    shades = [lightness(color_of(score)) for score in np.linspace(0, 1, 50)]
    assert all(np.diff(shades) < 0)
    assert color_of(-1.0) == STEPS[0] and color_of(7.0) == STEPS[-1]


def test_scores_are_scaled():
    np.testing.assert_allclose(scaled(np.array([0.0, -800, 800]), True), [0.5, 0, 1], atol=1e-9)
    np.testing.assert_allclose(scaled(np.array([2.0, 3, 4]), False), [0, 0.5, 1])
    assert scaled(np.array([2.0, 2.0]), False).tolist() == [0, 0]


def test_titles():
    defective, pristine = sorted(cells("vacancy"), key=lambda one: -one.label)
    title = map_gallery.title(defective, "temperature")
    assert re.fullmatch(r"vacancy v_\w+ in MoS2 \(MoS2-2H\), 4x4, temperature 300 K", title)
    assert map_gallery.title(pristine, "temperature") == (
        "pristine MoS2 (MoS2-2H), 4x4, temperature 300 K"
    )
    assert map_gallery.title(pristine, "relaxed") == "pristine MoS2 (MoS2-2H), 4x4, relaxed"
    assert map_gallery.point("strain", "0.02") == "strain 2 %"


def test_a_template_takes_its_parts_once(tmp_path, monkeypatch):
    monkeypatch.setattr(page_parts, "HERE", tmp_path)
    (tmp_path / "t.html").write_text("$HEAD ${x} $3Dmol $BODY")
    filled = page_parts.filled("t.html", HEAD="$BODY", BODY="<b>")
    assert filled == "$BODY ${x} $3Dmol <b>"
    with pytest.raises(KeyError):
        page_parts.filled("t.html", HEAD="")
    assert page_parts.as_json("</script>") == '"\\u003c/script>"'
