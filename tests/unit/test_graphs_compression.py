from collections import Counter

import numpy as np
import pytest
from graph_examples import (
    crystal,
    layers,
    message_passing,
    slow_quotient,
    slow_refine,
    vacancy,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.graphs import refinement
from defectpool.graphs.compression import compress, uncompressed
from defectpool.graphs.crystal_graph import distance_bins, edges_of, no_site_repeats, quotients
from defectpool.graphs.refinement import mix, refine

LAYERS = layers()


def as_lists(sites, target, source, bins):
    edges = [[] for _ in range(sites)]
    for t, s, b in zip(target.tolist(), source.tolist(), bins.tolist(), strict=True):
        edges[t].append((s, b))
    return edges


def same_partition(first, second):
    return len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second))


def assert_quotient(colors, target, source, bins, rounds):
    quotient = compress(colors, target, source, bins, rounds)
    site_class, sizes, merged = slow_quotient(
        colors.tolist(), as_lists(len(colors), target, source, bins), rounds
    )
    assert quotient.site_class.tolist() == site_class
    assert dict(enumerate(quotient.node_multiplicity.tolist())) == dict(sizes)
    edges = zip(
        quotient.target.tolist(), quotient.source.tolist(), quotient.bin.tolist(), strict=True
    )
    assert Counter(dict(zip(edges, quotient.edge_multiplicity.tolist(), strict=True))) == merged


def random_graph(random, sites, edges, kinds, colors):
    target = np.sort(random.integers(0, sites, edges))
    return (
        random.integers(0, colors, sites),
        target,
        random.integers(0, sites, edges),
        random.integers(0, kinds, edges),
    )


@settings(max_examples=100, deadline=None)
@given(
    sites=st.integers(1, 25),
    edges=st.integers(0, 60),
    kinds=st.integers(1, 3),
    colors=st.integers(1, 3),
    rounds=st.integers(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_graph_as_compressed_by_nested_tuples(sites, edges, kinds, colors, rounds, seed):
    graph = random_graph(np.random.default_rng(seed), sites, edges, kinds, colors)
    assert_quotient(*graph, rounds)
    refined, first = refine(*graph, rounds)
    plain = slow_refine(graph[0].tolist(), as_lists(sites, *graph[1:]), rounds)
    assert same_partition(refined.tolist(), plain)
    assert refined[first].tolist() == list(range(len(first)))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_crystals_as_compressed_by_nested_tuples(name, shells):
    c = crystal(vacancy(LAYERS[name], 3))
    edges = edges_of([c], 8.0, 12, shells, 0.001)
    bins = distance_bins(edges.distance, 0.001)
    for rounds in (0, 1, 3):
        assert_quotient(c.numbers, edges.target, edges.source, bins, rounds)


@pytest.mark.parametrize("name", ["MoS2", "TiS2", "graphene", "NaCl", "GeSeSnS"])
@pytest.mark.parametrize("shells", ["truncated", "complete"])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_message_passing_cannot_tell_the_compressed_graph(name, shells, rounds):
    rattled = LAYERS[name].copy()
    rattled.rattle(0.05, seed=1)
    cells = [vacancy(LAYERS[name], 4), LAYERS[name].repeat((4, 4, 1)), vacancy(rattled, 3)]
    crystals = [crystal(atoms) for atoms in cells]
    numbers = np.concatenate([c.numbers for c in crystals])
    graph = np.repeat([0, 1, 2], [len(c.numbers) for c in crystals])
    edges = edges_of(crystals, 8.0, 12, shells, 0.001)
    bins = distance_bins(edges.distance, 0.001)
    full = uncompressed(len(numbers), edges.target, edges.source, bins)
    small = compress(graph * 128 + numbers, edges.target, edges.source, bins, rounds)
    assert len(small.source) < len(full.source)
    results = [
        message_passing(
            1,
            numbers[q.representative],
            q.target,
            q.source,
            q.bin * 0.001,
            q.node_multiplicity,
            q.edge_multiplicity,
            rounds,
        )
        for q in (full, small)
    ]
    (features, statistics), (few, few_statistics) = results
    np.testing.assert_allclose(few[small.site_class], features, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(few_statistics, statistics, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_one_round_too_few_is_noticed_by_message_passing():
    c = crystal(vacancy(LAYERS["MoS2"], 6))
    edges = edges_of([c], 8.0, 12, "truncated", 0.001)
    bins = distance_bins(edges.distance, 0.001)
    full = uncompressed(len(c.numbers), edges.target, edges.source, bins)
    small = compress(c.numbers, edges.target, edges.source, bins, 1)
    outputs = []
    for q in (full, small):
        x, _ = message_passing(
            1, c.numbers[q.representative], q.target, q.source, q.bin * 0.001,
            q.node_multiplicity, q.edge_multiplicity, 3,
        )  # fmt: skip
        outputs.append(x)
    assert not np.allclose(outputs[1][small.site_class], outputs[0], rtol=1e-6)


def test_sites_and_edges_are_all_accounted_for():
    c = crystal(vacancy(LAYERS["TiS2"], 5))
    edges = edges_of([c], 8.0, 12, "complete", 0.001)
    small = compress(c.numbers, edges.target, edges.source, distance_bins(edges.distance, 1e-3), 3)
    assert small.node_multiplicity.sum() == len(c.numbers)
    times = small.edge_multiplicity * small.node_multiplicity[small.target]
    assert times.sum() == len(edges.target)


def test_refinement_stops_where_it_splits_nothing():
    atoms = LAYERS["MoS2"].repeat((3, 3, 1))
    c = crystal(atoms)
    edges = edges_of([c], 8.0, 12, "truncated", 0.001)
    bins = distance_bins(edges.distance, 0.001)
    few = refine(c.numbers, edges.target, edges.source, bins, 5)
    many = refine(c.numbers, edges.target, edges.source, bins, 10**9)
    assert np.array_equal(few[0], many[0])


@pytest.mark.parametrize("seed", range(5))
def test_hashes_that_collide_merge_nothing(monkeypatch, seed):
    graph = random_graph(np.random.default_rng(seed), 20, 50, 3, 2)
    before = compress(*graph, 3)
    monkeypatch.setattr(refinement, "mix", lambda values: values & np.uint64(1))
    after = compress(*graph, 3)
    for key, values in vars(before).items():
        assert np.array_equal(values, getattr(after, key)), key


def test_mix_is_splitmix64():
    # First outputs of the reference implementation (Vigna, splitmix64.c) from the state 0.
    gamma = 0x9E3779B97F4A7C15
    states = np.array([0, gamma, 2 * gamma % 2**64], dtype=np.uint64)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix(states).tolist() == expected


def ideal_and_displaced():
    """Ideal, displaced and ideal cells of several layers, and a cell displaced in one atom."""
    random = np.random.default_rng(0)
    cells = []
    for name in ("MoS2", "GeSeSnS", "NaCl"):
        ideal = vacancy(LAYERS[name], 4)
        moved, nearly = ideal.copy(), LAYERS[name].repeat((7, 7, 1))
        moved.positions += random.normal(scale=0.05, size=moved.positions.shape)
        nearly.positions[3] += 0.1
        cells += [ideal, moved, moved.repeat((2, 1, 1)), nearly]
    return [crystal(atoms) for atoms in cells]


@pytest.mark.parametrize("max_neighbors", [12, None])
@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_what_is_not_refined_is_compressed_alike(max_neighbors, rounds):
    crystals = ideal_and_displaced()
    ours = quotients(crystals, 5.0, max_neighbors, "complete", 0.001, rounds)
    edges = edges_of(crystals, 5.0, max_neighbors, "complete", 0.001)
    graph = np.repeat(np.arange(len(crystals)), [len(c.numbers) for c in crystals])
    numbers = np.concatenate([c.numbers for c in crystals])
    bins = distance_bins(edges.distance, 0.001)
    plain = compress(graph * 128 + numbers, edges.target, edges.source, bins, rounds)
    for key, values in vars(plain).items():
        assert np.array_equal(values, getattr(ours, key)), key


def test_only_displaced_cells_have_no_site_that_repeats():
    crystals = ideal_and_displaced()
    edges = edges_of(crystals, 5.0, None, "truncated", 0.001)
    graph = np.repeat(np.arange(len(crystals)), [len(c.numbers) for c in crystals])
    numbers = np.concatenate([c.numbers for c in crystals])
    found = no_site_repeats(graph, numbers, edges, distance_bins(edges.distance, 0.001))
    assert found.tolist() == [False, True, False, False] * 3
