"""Plot of how far atoms moved, and pictures of defects in several states."""

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from structure_examples import textbook

from defectpool.config import StructuresSettings
from defectpool.reporting.plots_displacements import FAR, NEAR, displacement_table, displacements
from defectpool.structures.build import build_structures
from defectpool.structures.displaced_pictures import write_displaced

HOSTS = [host for host in textbook() if host.id == "MoS2-2H"]


def test_distances_are_those_of_the_models(tmp_path):
    models = ["none", {"model": "static", "sigma": 0.01}, "thermal"]
    settings = StructuresSettings(displacements=models, choose=10)
    structures, _ = build_structures(HOSTS, "interstitial", "4x4", settings)
    table = displacement_table(structures)
    assert set(table["model"]) == {"static 0.01 Å", "thermal 300 K"}
    assert len(table) < len(structures)
    means = table.groupby("model")[[NEAR, FAR]].mean()
    # the mean length of a Gaussian vector is 1.6 standard deviations
    assert means.loc["static 0.01 Å", FAR] == pytest.approx(0.016, rel=0.05)
    assert 0.08 < means.loc["thermal 300 K", FAR] < 0.2
    paths = [tmp_path / "displacements.svg", tmp_path / "displacements.png"]
    displacements(table, paths)
    assert all(path.stat().st_size for path in paths)
    displacements(table[:0], paths[:1])  # no structure was displaced


def test_a_picture_has_a_column_for_each_state(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "chgnet.model", None)
    notes = write_displaced(HOSTS[0], ["vacancy"], "3x3", StructuresSettings(), tmp_path)
    assert len(notes) == 1 and "pip install 'defectpool[relax]'" in notes[0]
    picture = matplotlib.image.imread(tmp_path / "MoS2-2H_3x3_displaced.png")
    left, right = np.array_split(picture, 2, axis=1)
    assert not np.array_equal(left, right)
    assert (tmp_path / "MoS2-2H_3x3_displaced.svg").is_file()
