"""Cells, periodic trees, superlattices: the fast ways against the plain ones."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.lattice.geometry import (
    PeriodicTree,
    complete_cell,
    crystal,
    gathered,
    reduced_cell,
    wrapped,
)
from defectpool.lattice.primitive import hermite_normal_form, lattice_points
from defectpool.lattice.superstructure import sublattices

PERIODIC = np.array([True, True, True])
seeds = st.integers(0, 10_000)


def skewed_cell(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    while True:
        cell = rng.normal(0, 4, (3, 3))
        if abs(np.linalg.det(cell)) > 20:
            return cell


def plain_nearest(positions, cell, pbc, point, reach):
    """Return the nearest image of all by trying three cells around."""
    shifts = np.array(list(product(*[range(-3, 4) if p else (0,) for p in pbc])))
    images = positions[:, None, :] + (shifts @ cell)[None, :, :]
    distance = np.linalg.norm(images - point, axis=2).min(axis=1)
    return (int(np.argmin(distance)), distance.min()) if distance.min() < reach else (-1, np.inf)


@settings(max_examples=25, deadline=None)
@given(seeds, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_periodic_tree_finds_what_trying_all_images_finds(seed, periodic) -> None:
    pbc = np.array(periodic)
    cell, _ = reduced_cell(skewed_cell(seed), pbc)
    rng = np.random.default_rng(seed)
    positions, points = rng.uniform(0, 1, (8, 3)) @ cell, rng.uniform(-1, 2, (6, 3)) @ cell
    rows, vectors = PeriodicTree(positions, cell, pbc, 2.5).nearest(points)
    for point, row, vector in zip(points, rows, vectors, strict=True):
        inside = wrapped(point @ np.linalg.inv(cell), pbc) @ cell
        start = wrapped(positions @ np.linalg.inv(cell), pbc) @ cell
        expected, distance = plain_nearest(start, cell, pbc, inside, 2.5)
        assert row == expected
        if row >= 0:
            assert np.linalg.norm(vector) == pytest.approx(distance)


def test_labels_keep_species_apart() -> None:
    cell = np.eye(3) * 10
    positions = np.array([[1.0, 1, 1], [1.5, 1, 1]])
    tree = PeriodicTree(positions, cell, PERIODIC, 2.0, np.array([0, 1]))
    rows, _ = tree.nearest(positions[:1] + 0.1, np.array([1]))
    assert rows.tolist() == [1]


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_a_reduced_cell_spans_the_same_lattice_with_shortest_vectors(seed) -> None:
    cell = skewed_cell(seed)
    reduced, change = reduced_cell(cell, PERIODIC)
    assert round(abs(np.linalg.det(change))) == 1
    assert np.allclose(change @ cell, reduced)
    combinations = np.array([c for c in product(range(-2, 3), repeat=3) if any(c)])
    shortest = np.linalg.norm(combinations @ reduced, axis=1).min()
    assert np.linalg.norm(reduced, axis=1).min() == pytest.approx(shortest)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_lattice_points_are_as_many_as_the_determinant_and_distinct(seed) -> None:
    matrix = np.random.default_rng(seed).integers(-4, 5, (3, 3))
    size = round(abs(np.linalg.det(matrix)))
    if size == 0:
        return
    points = lattice_points(matrix)
    scaled = np.round(points @ np.linalg.inv(matrix), 9) % 1
    assert len(points) == len(np.unique(np.round(scaled, 6) % 1, axis=0)) == size
    form = hermite_normal_form(matrix)
    assert np.all(np.tril(form, -1) == 0)
    ratio = form @ np.linalg.inv(matrix)
    assert np.allclose(ratio, np.round(ratio), atol=1e-6)


def test_sublattices_are_all_of_index_two_and_three_that_hold_the_cell() -> None:
    found = sublattices(np.diag([2, 6, 1]))
    indices = sorted(round(abs(np.linalg.det(index))) for index in found)
    assert indices == [2, 2, 2, 3]
    for index in found:
        ratio = np.diag([2, 6, 1]) @ np.linalg.inv(index)
        assert np.allclose(ratio, np.round(ratio))


def test_a_layer_wrapped_through_the_vacuum_is_brought_together() -> None:
    cell = np.diag([5.0, 5.0, 20.0])
    positions = np.array([[0, 0, 1.0], [1, 1, 0.5], [2, 2, 2.0], [3, 3, 19.0]])
    whole = gathered(positions, cell, np.array([True, True, False]))
    assert np.allclose(whole[3], [3, 3, -1]) and np.allclose(whole[:3], positions[:3])
    assert np.allclose(gathered(positions, cell, PERIODIC), positions)


def test_an_axis_without_length_is_completed_or_refused() -> None:
    cell = np.diag([5.0, 5.0, 0.0])
    full = complete_cell(cell, np.array([True, True, False]), np.zeros((1, 3)))
    assert abs(np.linalg.det(full)) > 1
    with pytest.raises(ValueError, match="no length"):
        complete_cell(cell, PERIODIC, np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.positions.__setitem__((0, 0), np.nan), "finite"),
        (lambda a: a.cell.__setitem__(2, a.cell[1]), "one plane"),
    ],
)
def test_a_broken_structure_is_refused_with_what_is_wrong(spoil, message) -> None:
    atoms = Atoms("H2", positions=[(0, 0, 0), (1, 1, 1)], cell=[4, 4, 4], pbc=True)
    spoil(atoms)
    with pytest.raises(ValueError, match=message):
        crystal(atoms)
