import numpy as np
import pytest
from ase.build import make_supercell
from ase.geometry import get_distances
from hypothesis import given
from hypothesis import strategies as st
from structure_examples import textbook

from defectpool.materials.plane_lattice import reduced
from defectpool.structures.supercell import (
    enlarged,
    image_distance,
    repeat,
    supercell,
    vectors,
)

HOSTS = {host.id: host for host in textbook()}


@pytest.mark.parametrize("label", ["1x1", "2x2", "3x2", "6x6", "2_1x-1_1", "1_2x3_1"])
def test_supercell_is_what_ase_builds(label):
    atoms = HOSTS["MoS2-2H"].atoms
    layout = supercell(label)
    matrix = np.eye(3)
    matrix[:2, :2] = layout.matrix
    theirs = make_supercell(atoms, matrix)
    ours = repeat(layout, atoms.positions, atoms.cell.array)
    cell = vectors(layout, atoms.cell.array)
    np.testing.assert_allclose(cell, theirs.cell.array, atol=1e-12)
    numbers = np.repeat(atoms.numbers, len(layout.cells))
    distances = get_distances(ours, theirs.positions, cell=cell, pbc=(True, True, False))[1]
    nearest = distances.argmin(axis=1)
    assert sorted(nearest) == list(range(len(theirs)))
    assert distances.min(axis=1).max() < 1e-9
    assert np.array_equal(numbers, theirs.numbers[nearest])


def test_sites_are_ordered_by_host_atom_then_cell():
    atoms = HOSTS["BN"].atoms
    layout = supercell("3x2")
    positions = repeat(layout, atoms.positions, atoms.cell.array)
    cell = len(layout.cells)
    for i in range(len(atoms)):
        for k, (p, q) in enumerate(layout.cells):
            expected = atoms.positions[i] + p * atoms.cell[0] + q * atoms.cell[1]
            np.testing.assert_allclose(positions[i * cell + k], expected, atol=1e-12)
    assert [tuple(c) for c in layout.cells] == sorted(tuple(c) for c in layout.cells.tolist())
    assert layout.cells[layout.center].tolist() == [1, 0]


entries = st.integers(-4, 4)


@given(entries, entries, entries, entries)
def test_a_matrix_makes_as_many_cells_as_its_determinant(a, b, c, d):
    size = abs(a * d - b * c)
    label = f"{a}_{b}x{c}_{d}"
    if size == 0:
        with pytest.raises(ValueError, match="no area"):
            supercell(label)
        return
    layout = supercell(label)
    assert len(layout.cells) == size
    assert np.linalg.det(np.array(layout.matrix)) > 0
    assert supercell(layout.label).matrix == layout.matrix
    # no two cells are the same one: their difference is no vector of the supercell
    inverse = np.linalg.inv(np.array(layout.matrix, dtype=float))
    scaled = (layout.cells[:, None] - layout.cells[None]) @ inverse
    same = np.all(np.abs(scaled - np.round(scaled)) < 1e-9, axis=2)
    assert same.sum() == size


@given(st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_reduced_basis_has_the_shortest_vector(numbers):
    plane = np.array(numbers).reshape(2, 2)
    area = abs(np.linalg.det(plane))
    if area < 0.5:
        return
    short, long = reduced(plane)
    assert abs(abs(np.linalg.det([short, long])) - area) < 1e-6
    reach = int(np.ceil(np.linalg.norm(plane, axis=1).max() * np.linalg.norm(short) / area)) + 1
    steps = range(-reach, reach + 1)
    lengths = [np.hypot(*(i * plane[0] + j * plane[1])) for i in steps for j in steps if i or j]
    assert np.linalg.norm(short) == pytest.approx(min(lengths), rel=1e-9)


@pytest.mark.parametrize("label", ["1x1", "2x2", "3x2", "2_1x-1_1", "5x1"])
def test_enlarged_is_the_smallest_of_its_shape_that_is_far_enough(label):
    cell = HOSTS["MoS2-2H"].atoms.cell.array
    layout = supercell(label)
    for distance in (1.0, 7.0, 12.0, 20.0):
        grown = enlarged(layout, cell, distance)
        ratio = np.array(grown.matrix).ravel() / np.where(
            np.array(layout.matrix).ravel() == 0, np.inf, np.array(layout.matrix).ravel()
        )
        assert len({round(r, 12) for r in ratio if r}) == 1
        assert image_distance(grown, cell) >= min(distance, image_distance(grown, cell))
        assert image_distance(grown, cell) >= distance - 1e-9
        if image_distance(layout, cell) >= distance:
            assert grown == layout or grown.matrix == layout.matrix
