"""Cells of the map: along each axis one thing changes, and nothing else."""

import numpy as np
import pytest
from pydantic import ValidationError
from structure_examples import textbook

from defectpool.config import MapSettings, StructuresSettings
from defectpool.config.map import AXES
from defectpool.errors import DefectpoolError
from defectpool.structures.map_cells import build_cells, points, sampled_hosts

SMALL = MapSettings(
    hosts=2,
    supercell="2x2",
    displacement=[0.0, 0.1],
    temperature=[100, 600],
    concentration=[0.05, 0.3],
    supercells=["2x2", "3x3"],
    alloy=[0.0, 0.25],
    strain=[0.0, 0.02],
    relaxation=["ase.calculators.emt:EMT"],
    train_hosts=[2, 100],
    split=["formula", "element"],
)
HOSTS = [host for host in textbook() if host.id in ("MoS2-2H", "PtSe2-1T", "BN")]


@pytest.mark.parametrize("axis", AXES)
def test_every_axis_has_pairs_at_each_of_its_values(axis):
    cells, _ = build_cells(HOSTS, axis, ["vacancy", "interstitial"], SMALL, StructuresSettings())
    assert sum(one.label for one in cells) == len(cells) / 2
    assert len({one.structure for one in cells}) == len(cells)
    values = {one.structure.rpartition("@")[2] for one in cells}
    assert values == set(SMALL.values(axis))
    assert {one.notes["axis"] for one in cells} == {axis}
    assert len({one.host for one in cells}) == 2
    wanted = {"dense"} if axis == "concentration" else {"vacancy", "interstitial"}
    assert {one.defect for one in cells} == wanted


def test_one_thing_changes_along_an_axis():
    base = {point.value: point for point in points("strain", SMALL, StructuresSettings())}["0"]
    found = {axis: points(axis, SMALL, StructuresSettings(count=3, strain=0.1)) for axis in AXES}
    assert found["supercells"][0].settings == found["alloy"][0].settings == base.settings
    assert found["supercells"][1].supercell == "3x3"
    assert found["displacement"][0].settings.displacements == ["none"]
    assert found["displacement"][1].settings.displacements[0].sigma == 0.1
    assert found["temperature"][1].settings.displacements[0].temperature == 600
    assert found["concentration"][1].settings.concentration == 0.3
    assert found["alloy"][1].settings.alloy.hosts == 1
    assert {point.settings.count for listed in found.values() for point in listed} == {1}


def test_displacements_are_as_large_as_the_axis_says():
    chosen = SMALL.model_copy(update={"displacement": [0.1], "supercell": "6x6"})
    cells, _ = build_cells(HOSTS, "displacement", ["vacancy"], chosen, StructuresSettings())
    moved = [one.notes["far_displacement"] for one in cells]
    assert np.mean(moved) == pytest.approx(0.1 * np.sqrt(8 / np.pi), rel=0.1)


def test_a_pristine_alloy_is_pristine_and_a_host_without_a_second_species_is_left_out():
    cells, skipped = build_cells(HOSTS, "alloy", ["vacancy"], SMALL, StructuresSettings())
    mixed = [one for one in cells if one.structure.endswith("@0.25")]
    assert mixed and all("alloy" in one.notes for one in mixed)
    assert {one.label for one in mixed} == {0, 1} and not skipped
    own = {"alloy": {"species": ["Mo"]}}
    hosts = [host for host in HOSTS if host.id == "MoS2-2H"]
    cells, skipped = build_cells(hosts, "alloy", ["vacancy"], SMALL, StructuresSettings(**own))
    assert {one.structure.rpartition("@")[2] for one in cells} == {"0"}
    assert {one.message for one in skipped} == {"no second species for an alloy"}


def test_a_larger_sample_of_hosts_contains_each_smaller_one():
    hosts = textbook()
    two, four = (sampled_hosts(hosts, number, 0) for number in (2, 4))
    assert four[:2] == two and sampled_hosts(hosts[::-1], 2, 0) == two


def test_the_same_cells_again():
    first, second = (
        build_cells(hosts, "temperature", ["antisite"], SMALL, StructuresSettings())[0]
        for hosts in (HOSTS, HOSTS[::-1])
    )
    for one, other in zip(first, second, strict=True):
        assert one.structure == other.structure
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_an_axis_without_structures():
    with pytest.raises(DefectpoolError, match=r"map\.strain: no structure"):
        build_cells(HOSTS, "strain", ["dense"], SMALL, StructuresSettings())


def test_a_map_without_an_axis():
    with pytest.raises(ValidationError, match="map has no axis"):
        MapSettings(**{axis: [] for axis in AXES})


@pytest.mark.parametrize(
    "wrong", [{"displacements": [0.1]}, {"alloy": [0.6]}, {"strain": [0, 0]}, {"baselines": ["x"]}]
)
def test_values_that_cannot_be_meant(wrong):
    with pytest.raises(ValidationError):
        MapSettings(**wrong)
