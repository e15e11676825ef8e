import warnings

import numpy as np
import pytest
from graph_examples import crystal, layer, layers, slow_neighbors, vacancy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defectpool.graphs.crystal_graph import edges_of
from defectpool.graphs.neighbors import (
    TIE_TOLERANCE,
    Crystal,
    displacements,
    whole_shells,
    within,
)

LAYERS = layers()


def listed(neighbors):
    return sorted(
        zip(
            neighbors.target.tolist(),
            neighbors.source.tolist(),
            np.round(neighbors.distance, 6).tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("radius", [2.6, 5.0, 8.0])
def test_all_neighbors_as_found_image_by_image(name, radius):
    c = crystal(LAYERS[name])
    fast = within([c], radius)
    slow = slow_neighbors(c, radius)
    plain = [(t, s, round(d, 6)) for t, near in enumerate(slow) for d, s, _ in near]
    itself = [(t, t, 0.0) for t in range(len(c.numbers))]
    assert listed(fast) == sorted(plain + itself)
    assert np.all(np.diff(fast.target) >= 0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("max_neighbors", [1, 12, 30])
def test_whole_shells_are_all_neighbors_up_to_the_last_wanted(name, max_neighbors):
    c = crystal(LAYERS[name])
    shells, last = whole_shells([c], 8.0, max_neighbors)
    expected = []
    for target, near in enumerate(slow_neighbors(c, 8.0)):
        distances = sorted(d for d, _, _ in near)
        end = distances[max_neighbors - 1] if len(distances) >= max_neighbors else np.inf
        assert last[target] == pytest.approx(end)
        expected += [(target, s, round(d, 6)) for d, s, _ in near if d <= end + TIE_TOLERANCE]
    assert listed(shells) == sorted(expected)


def test_positions_outside_the_cell_change_nothing():
    atoms = vacancy(LAYERS["TiS2"], 3)
    c = crystal(atoms)
    moved = Crystal(c.numbers, c.positions + np.array([2, -3, 0]) @ c.cell, c.cell, c.pbc)
    for each in (c, moved):
        edges = edges_of([each], 8.0, 12, "complete", 0.001)
        vectors = displacements([each], edges)
        assert np.allclose(np.linalg.norm(vectors, axis=1), edges.distance, atol=1e-9)
    scattered = c.positions + np.arange(len(c.numbers))[:, None] % 3 * c.cell[0]
    outside = Crystal(c.numbers, scattered, c.cell, c.pbc)
    edges = edges_of([outside], 8.0, 12, "truncated", 0.001)
    before = edges_of([c], 8.0, 12, "truncated", 0.001)
    assert listed(edges) == listed(before)
    vectors = displacements([outside], edges)
    assert np.allclose(np.linalg.norm(vectors, axis=1), edges.distance, atol=1e-9)


@pytest.mark.parametrize("name", ["MoS2", "NaCl", "GeSeSnS"])
@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_periodicity_along_the_vacuum_changes_nothing_if_it_is_wider_than_the_radius(name, shells):
    atoms = vacancy(LAYERS[name], 2)
    slab = edges_of([crystal(atoms)], 8.0, 12, shells, 0.001)
    stack = edges_of([crystal(atoms, (1, 1, 1))], 8.0, 12, shells, 0.001)
    assert listed(slab) == listed(stack)
    near = layer(atoms, vacuum=2.0)
    assert listed(edges_of([crystal(near, (1, 1, 1))], 8.0, 12, shells, 0.001)) != listed(slab)


def test_a_site_without_neighbors_and_one_with_few():
    few = edges_of([crystal(LAYERS["chain"])], 8.0, 12, "truncated", 0.001)
    assert np.allclose(np.sort(few.distance), [3, 3, 6, 6])
    none = edges_of([crystal(LAYERS["far"])], 8.0, 12, "truncated", 0.001)
    assert len(none.target) == 0
    together = edges_of(
        [crystal(LAYERS["far"]), crystal(LAYERS["chain"])], 8.0, 12, "truncated", 0.001
    )
    assert set(together.target.tolist()) == {1}


def test_neighbors_as_pymatgen_lists_them_for_c2db(c2db):
    from ase.db import connect

    with connect(c2db) as database:
        hosts = [database.get(id=i).toatoms() for i in range(7, 11000, 450)]
    for atoms in hosts:
        atoms = vacancy(atoms, 2) if len(atoms) < 12 else atoms
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = AseAtomsAdaptor.get_structure(atoms)
        assert isinstance(structure, Structure)
        center, _, _, distance = structure.get_neighbor_list(8.0)
        c = crystal(atoms)
        for shells in ("truncated", "complete"):
            edges = edges_of([c], 8.0, 12, shells, 0.001)
            for site in range(len(atoms)):
                ours = np.sort(edges.distance[edges.target == site])
                theirs = np.sort(distance[center == site])
                assert np.allclose(ours[:12], theirs[:12], rtol=0, atol=2 * TIE_TOLERANCE)
                if shells == "truncated":
                    assert len(ours) == 12
                else:
                    shell = theirs[theirs <= theirs[11] + TIE_TOLERANCE]
                    assert np.allclose(ours, shell, rtol=0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    cell=st.lists(st.floats(2.0, 9.0), min_size=3, max_size=3),
    shear=st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
    sites=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    max_neighbors=st.integers(1, 20),
)
def test_any_crystal(cell, shear, sites, seed, pbc, max_neighbors):
    random = np.random.default_rng(seed)
    matrix = np.diag(cell)
    matrix[1, 0], matrix[2, 0], matrix[2, 1] = shear
    positions = random.random((sites, 3)) @ matrix
    c = Crystal(random.integers(1, 100, sites), positions, matrix, np.array(pbc, dtype=np.int64))
    slow = slow_neighbors(c, 6.0)
    # which side of the radius a distance falls on that equals it is a matter of rounding
    assume([len(near) for near in slow_neighbors(c, 6 + 1e-9)] == [len(near) for near in slow])
    assume([len(near) for near in slow_neighbors(c, 6 - 1e-9)] == [len(near) for near in slow])
    shells, _ = whole_shells([c], 6.0, max_neighbors)
    expected = []
    for target, near in enumerate(slow):
        distances = sorted(d for d, _, _ in near)
        end = distances[max_neighbors - 1] if len(distances) >= max_neighbors else np.inf
        expected += [(target, s, round(d, 6)) for d, s, _ in near if d <= end + TIE_TOLERANCE]
    assert len(shells.target) == len(expected)
    ours = np.array(listed(shells)).reshape(-1, 3)
    assert np.allclose(ours, np.array(sorted(expected)).reshape(-1, 3), atol=2e-6)
