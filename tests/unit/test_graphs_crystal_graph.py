from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from graph_examples import crystal, layers, message_passing, slow_edges, vacancy
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.graphs.crystal_graph import (
    Crystal,
    bin_distances,
    distance_bins,
    edges_of,
    quotients,
)
from defectpool.graphs.neighbors import displacements
from defectpool.graphs.refinement import environments

LAYERS = layers()
CRYSTALS = ["MoS2", "TiS2", "graphene", "NaCl", "GeSeSnS"]
RESOLUTION = 0.001


def cut_edges(c, shells="truncated", max_neighbors=12):
    return edges_of([c], 8.0, max_neighbors, shells, RESOLUTION)


def listed(c, edges, name=lambda site: site):
    """Edges of a crystal as a multiset, in numbers that do not depend on rounding."""
    return Counter(
        (name(t), name(s), *np.round(vector, 3).tolist())
        for t, s, vector in zip(
            edges.target.tolist(),
            edges.source.tolist(),
            displacements([c], edges) + 1e-9,
            strict=True,
        )
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shells", ["truncated", "complete"])
@pytest.mark.parametrize("max_neighbors", [4, 12, None])
def test_edges_as_chosen_one_by_one(name, shells, max_neighbors):
    for atoms in (LAYERS[name], vacancy(LAYERS[name], 2)):
        c = crystal(atoms)
        fast = edges_of([c], 6.0, max_neighbors, shells, RESOLUTION)
        slow = slow_edges(c, 6.0, max_neighbors, shells, RESOLUTION)
        plain = Counter(
            (target, source, *np.round(np.array(vector) + 1e-9, 3).tolist())
            for target, near in enumerate(slow)
            for _, source, vector in near
        )
        assert listed(c, fast) == plain


def test_edges_of_many_crystals_are_those_of_each():
    crystals = [crystal(vacancy(LAYERS[name], 2)) for name in CRYSTALS]
    together = edges_of(crystals, 8.0, 12, "truncated", RESOLUTION)
    first = 0
    for c in crystals:
        alone = cut_edges(c)
        mine = (together.target >= first) & (together.target < first + len(c.numbers))
        assert np.array_equal(together.target[mine] - first, alone.target)
        assert np.array_equal(together.source[mine] - first, alone.source)
        assert np.array_equal(together.distance[mine], alone.distance)
        first += len(c.numbers)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("shells", ["truncated", "complete"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_atoms_does_not_matter(name, shells, seed):
    c = crystal(vacancy(LAYERS[name], 3))
    order = np.random.default_rng(seed).permutation(len(c.numbers))
    shuffled = Crystal(c.numbers[order], c.positions[order], c.cell, c.pbc)
    found = listed(shuffled, cut_edges(shuffled, shells), lambda site: int(order[site]))
    assert found == listed(c, cut_edges(c, shells))


@pytest.mark.parametrize("name", CRYSTALS)
@settings(max_examples=10, deadline=None)
@given(shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-3, 3)))
def test_where_the_cell_begins_does_not_matter(name, shift):
    atoms = vacancy(LAYERS[name], 3)
    moved = atoms.copy()
    moved.translate(shift)
    moved.wrap()
    before, after = crystal(atoms), crystal(moved)
    assert listed(after, cut_edges(after)) == listed(before, cut_edges(before))


@pytest.mark.parametrize("name", CRYSTALS)
@settings(max_examples=10, deadline=None)
@given(angle=st.floats(0, 360))
def test_rotation_leaves_whole_shells_and_what_the_cut_sees(name, angle):
    atoms = vacancy(LAYERS[name], 3)
    turned = atoms.copy()
    turned.rotate(angle, "z", rotate_cell=True)
    a, b = crystal(atoms), crystal(turned)

    def seen(c, shells):
        edges = cut_edges(c, shells)
        whole = cut_edges(c, "complete")
        bins = distance_bins(whole.distance + 3e-4, RESOLUTION)  # off the edges of the bins
        color = environments(c.numbers, whole.target, whole.source, bins, 3)[-1]
        distance = np.round(edges.distance, 6)
        return Counter(
            zip(edges.target.tolist(), color[edges.source].tolist(), distance.tolist(), strict=True)
        )

    for shells in ("complete", "truncated"):
        assert seen(a, shells) == seen(b, shells)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_a_supercell_has_the_edges_of_its_cell(name, shells):
    small, large = crystal(LAYERS[name]), crystal(LAYERS[name].repeat((3, 2, 1)))
    sites = len(small.numbers)
    repeated = listed(large, cut_edges(large, shells), lambda site: site % sites)
    cell = listed(small, cut_edges(small, shells))
    assert repeated == Counter({key: 6 * n for key, n in cell.items()})


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_a_perfect_supercell_compresses_to_the_graph_of_its_cell(name, shells):
    sizes = {
        n: quotients(
            [crystal(LAYERS[name].repeat((n, n, 1)))], 8.0, 12, shells, RESOLUTION, rounds=3
        )
        for n in (1, 2, 6)
    }
    for quotient in sizes.values():
        assert np.array_equal(quotient.source, sizes[1].source)
        assert np.array_equal(quotient.target, sizes[1].target)
        assert np.array_equal(quotient.bin, sizes[1].bin)
        assert np.array_equal(quotient.edge_multiplicity, sizes[1].edge_multiplicity)
    assert np.array_equal(sizes[6].node_multiplicity, 36 * sizes[1].node_multiplicity)


def seen_by_a_network(atoms, shells):
    """Classes by element and size, and the mean feature after three convolutions."""
    quotient = quotients([crystal(atoms)], 8.0, 12, shells, RESOLUTION, rounds=3)
    numbers = atoms.numbers[quotient.representative]
    weight = quotient.node_multiplicity
    features, _ = message_passing(
        1, numbers, quotient.target, quotient.source, quotient.bin * RESOLUTION,
        weight, quotient.edge_multiplicity, 3,
    )  # fmt: skip
    classes = Counter(zip(numbers.tolist(), weight.tolist(), strict=True))
    return classes, np.average(features, axis=0, weights=weight)


@pytest.mark.parametrize("name", CRYSTALS)
@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    angle=st.floats(0, 360),
    shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-3, 3)),
)
def test_the_compressed_graph_is_that_of_the_crystal_not_of_its_description(
    name, seed, angle, shift
):
    def assert_alike(first, second, shells):
        (classes, features), (others, theirs) = (
            seen_by_a_network(each, shells) for each in (first, second)
        )
        assert classes == others
        np.testing.assert_allclose(features, theirs, rtol=1e-10)

    atoms = vacancy(LAYERS[name], 4)
    other = atoms[np.random.default_rng(seed).permutation(len(atoms))]
    other.translate(shift)
    other.wrap()
    assert_alike(atoms, other, "truncated")
    other.rotate(angle, "z", rotate_cell=True)
    assert_alike(atoms, other, "complete")


@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_the_cost_of_a_defect_stops_growing_with_the_supercell(shells):
    sizes = {}
    for n in (6, 10, 14):
        c = crystal(vacancy(LAYERS["MoS2"], n))
        quotient = quotients([c], 8.0, 12, shells, RESOLUTION, rounds=3)
        sizes[n] = (len(quotient.node_multiplicity), len(quotient.source))
    assert sizes[14] == sizes[10]
    assert sizes[10][1] <= 1.3 * sizes[6][1]


def test_the_cut_of_2h_mos2():
    c = crystal(LAYERS["MoS2"].repeat((4, 4, 1)))
    whole, edges = cut_edges(c, "complete"), cut_edges(c)
    molybdenum = c.numbers == 42
    assert set(np.bincount(edges.target)) == {12}
    # Mo: 6 S and 6 Mo, nothing to cut; S: 3 Mo, the S above, 6 S, and 3 Mo of which 2 are taken
    assert set(np.bincount(whole.target)[molybdenum]) == {12}
    assert set(np.bincount(whole.target)[~molybdenum]) == {13}
    for sulfur in np.flatnonzero(~molybdenum)[:4]:
        near = np.sort(whole.distance[whole.target == sulfur])
        assert np.allclose(np.sort(edges.distance[edges.target == sulfur]), near[:12])


def test_neighbors_with_other_surroundings_are_cut_alike_around_a_defect():
    # The vacancy's mirror images are alike to the graph: equal choices wherever the first two
    # keys (element, environment) decide.
    atoms = vacancy(LAYERS["graphene"], 5)
    c = crystal(atoms)
    edges = cut_edges(c, max_neighbors=5)
    slow = slow_edges(c, 8.0, 5, "truncated", RESOLUTION)
    assert [len(near) for near in slow] == np.bincount(edges.target).tolist()


def test_bins_hold_their_own_centers_and_short_decimals_are_far_from_edges():
    bins = np.arange(0, 9000)
    centers = bin_distances(bins, RESOLUTION)
    assert np.array_equal(distance_bins(centers, RESOLUTION), bins)
    short = np.arange(20_000, 80_000) / 10_000
    for distance_tolerance in (0.001, 0.0005, 0.002, 0.01):
        offset = short / distance_tolerance + 0.6180339887498949
        assert np.abs(offset - np.round(offset)).min() > 1e-3
        error = bin_distances(distance_bins(short, distance_tolerance), distance_tolerance) - short
        assert np.abs(error).max() <= distance_tolerance / 2


def test_an_isolated_atom_is_a_graph():
    lone = Atoms("He", cell=(20, 20, 20), pbc=(True, True, False))
    for rounds in (None, 3):
        quotient = quotients([crystal(lone)], 8.0, 12, "truncated", RESOLUTION, rounds)
        assert len(quotient.node_multiplicity) == 1
        assert len(quotient.source) == 0
