"""Compiled sums over neighbors against the plain convolution, on displaced atoms."""

from collections import Counter

import numpy as np
import pytest
import torch
from crystal_examples import graphs, pair

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.dataset import cpu_dataset
from defectpool.batching.neighbor_dataset import NeighborDataset
from defectpool.batching.neighbor_lists import Distances, blocks_of
from defectpool.batching.sparse import SparseRows
from defectpool.config import NetworkSettings
from defectpool.network import cgcnn, compiled, convolutions
from defectpool.network.elementary import exp2, log2_1p
from defectpool.network.initial import initial_network
from defectpool.network.message_kernels import kernels

SIZE = NetworkSettings(width=8, n_convolutions=2, hidden=5, gaussians=11)


def displaced(count=3):
    """Pairs with displaced atoms, so that no site repeats another."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        for one in pair(number, "vacancy", 3):
            one.atoms.positions += random.normal(0, 0.05, one.atoms.positions.shape)
            found.append(one)
    return found


def answers(dataset, implementation, convolution, pooling="outlier", dtype=torch.float64):
    size = SIZE.model_copy(update={"implementation": implementation})
    network = initial_network(pooling, convolution, size, 6.0, 1).to(dtype)
    logits = network(dataset.batch(np.arange(len(dataset))))
    (logits * torch.arange(1, len(logits) + 1)).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    network.eval()
    with torch.inference_mode():
        again = network(dataset.batch(np.arange(len(dataset)), gradients=False))
    return logits.detach(), again, gradients, dict(network.named_buffers())


@pytest.mark.parametrize("convolution", ["gated", "smooth"])
@pytest.mark.parametrize("compression", [True, False])
def test_compiled_sums_are_the_plain_ones(convolution, compression):
    """Outputs, gradients and running statistics in float64."""
    graph_set = graphs(displaced(), compression=compression)
    assert isinstance(cpu_dataset(graph_set, 2, 11), NeighborDataset)
    fast = NeighborDataset(graph_set, 2, 11, dtype=torch.float64)
    plain = CPUDataset(graph_set, 2, 11, merge=False, dtype=torch.float64)
    one, two = answers(fast, "fast", convolution), answers(plain, "plain", convolution)
    for ours, theirs in zip(one, two, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_convolutions_without_compiled_sums_compute_on_the_same_batch():
    graph_set = graphs(displaced())
    fast = NeighborDataset(graph_set, 2, 11, dtype=torch.float64)
    plain = CPUDataset(graph_set, 2, 11, merge=False, dtype=torch.float64)
    for implementation, convolution in (("fast", "summed"), ("plain", "gated")):
        one = answers(fast, implementation, convolution)
        two = answers(plain, implementation, convolution)
        for ours, theirs in zip(one, two, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_without_numba_the_sparse_sums_are_used(monkeypatch):
    dataset = NeighborDataset(graphs(displaced()), 2, 11, dtype=torch.float64)
    fast = answers(dataset, "fast", "gated")
    monkeypatch.setattr(cgcnn, "kernel_maker", lambda: None)
    for ours, theirs in zip(fast, answers(dataset, "fast", "gated"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_results_do_not_depend_on_the_number_of_threads():
    dataset = NeighborDataset(graphs(displaced(6)), 2, 11)
    neighbors = dataset.batch(np.arange(12)).inputs
    x, sites = torch.randn(len(neighbors), 8), torch.randn(len(neighbors), 32)
    gaussians, (scale, shift, center) = torch.randn(11, 16), torch.randn(3, 16)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        sums = compiled.Sums(neighbors, neighbors.pairs.count, 8)
        y = sums.gate(sites, gaussians, scale, shift)
        out = sums.update(x, y, shift[:8], shift[8:])
        d = sums.update_gradient(out, y, x)
        again = sums.norm_gradient(x, y, *gaussians[:3, :8])
        gradient = sums.gate_gradient(sites, gaussians, scale, shift, center, again)
        shares = compiled.Sums(neighbors, neighbors.share, 8)
        # without Gaussians, whose matrix products are torch's
        q, _, squares = shares.moments(sites, torch.zeros(11, 16), center)
        through = sums.through_norm(gradient[0].clone(), q, scale, shift, center)
        found.append((y, out, *d, again, *gradient, q, squares, through))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def statistics(x, weight, bias, neighbors):
    """Mean and variance of the messages."""
    found, norm = [], (torch.ones_like(bias), torch.zeros_like(bias))
    compiled.NormalizedGatedSum.apply(x, None, weight, bias, *norm, neighbors, 1e-5, found)
    return found


def test_statistics_are_those_of_all_messages():
    dataset = NeighborDataset(graphs(displaced()), 2, 11, dtype=torch.float64)
    neighbors = dataset.batch(np.arange(len(dataset))).inputs
    x = torch.randn(len(neighbors), 8, dtype=torch.float64)
    weight = torch.randn(16, 27, dtype=torch.float64)
    target = np.repeat(np.arange(len(x)), np.diff(neighbors.offset))
    expanded = neighbors.expanded[neighbors.distance]
    z = torch.cat([x[target], x[neighbors.source], expanded], 1) @ weight.T
    share = torch.from_numpy(neighbors.edge_count / neighbors.edges)
    mean, bias = share @ z, torch.randn(16, dtype=torch.float64)
    found = statistics(x, weight, bias, neighbors)
    torch.testing.assert_close(found[0], mean + bias, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1], share @ (z - mean).square(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("compression", [True, False])
def test_pairs_are_all_neighbors(compression):
    """Ideal cells, too, where sites have neighbors of the same distance several times."""
    ideal = [one for number in range(2) for one in pair(number, "vacancy", 3)]
    for cells in (ideal, displaced(2)):
        dataset = NeighborDataset(graphs(cells, compression=compression), 2, 11)
        lists = dataset.batch([3, 1]).inputs
        target = np.repeat(np.arange(len(lists)), np.diff(lists.offset))
        pairs, every, found = lists.pairs, Counter(), Counter()
        for *edge, count in zip(target, lists.source, lists.distance, lists.count, strict=True):
            every[tuple(map(int, edge))] += count
        rows = zip(pairs.first, pairs.other, pairs.distance, pairs.count, strict=True)
        for first, other, distance, (to, back) in rows:
            assert first <= other
            found[int(first), int(other), int(distance)] += to
            found[int(other), int(first), int(distance)] += back
        assert +found == every


def test_float32_is_as_precise_as_torch():
    graph_set = graphs(displaced())
    exact = answers(NeighborDataset(graph_set, 2, 11, dtype=torch.float64), "fast", "smooth")[0]
    ours = answers(NeighborDataset(graph_set, 2, 11), "fast", "smooth", dtype=torch.float32)[0]
    dataset = CPUDataset(graph_set, 2, 11, merge=False)
    torchs = answers(dataset, "plain", "smooth", dtype=torch.float32)[0]
    assert (ours - exact).abs().max() < 4 * (torchs - exact).abs().max() + 1e-6


def test_what_is_not_a_number_stays_so():
    """A training that diverges must be noticed."""
    dataset = NeighborDataset(graphs(displaced(1)), 2, 11)
    neighbors = dataset.batch([0]).inputs
    x, count = torch.randn(len(neighbors), 8), neighbors.pairs.count
    weight, bias = torch.randn(16, 27), torch.randn(16)
    bias[3] = torch.nan
    assert compiled.GatedSum.apply(x, None, weight, bias, neighbors, count)[:, 3].isnan().all()
    bias[3], bias[12] = 0.0, torch.nan
    assert compiled.GatedSum.apply(x, None, weight, bias, neighbors, count)[:, 4].isnan().all()
    one, zero = torch.ones(8), torch.zeros(8)
    x[:, 5] = torch.nan
    for found in ([], [zero, one]):
        out = compiled.NormalizedUpdate.apply(x, x, one, zero, neighbors, 1e-5, found)
        assert out[:, 5].isnan().all()
    assert statistics(x, weight, bias, neighbors)[1].isnan().all()


def test_functions_of_float32():
    """Relative errors of a few units in the last place, in the loops that use them."""
    kernel = kernels(8).gate
    x = np.linspace(-60, 90, 1001)
    # one site that is its own neighbor: sigmoid(x) softplus(x) is what is summed, in units of ln 2
    offset, zero = np.array([0, 1], np.int32), np.zeros(1, np.int32)
    nothing, weight = np.zeros((1, 8), np.float32), np.array([[1, 0]], np.float32)
    gaussians = np.zeros(8 * 16, np.float32)
    scale, shift = np.ones(16, np.float32), np.zeros(16, np.float32)
    for value in x.astype(np.float32):
        table, out = np.zeros(32, np.float32), np.empty((1, 8), np.float32)
        table[:16] = value
        pairs = (offset, zero, zero, weight, zero, nothing)
        kernel(0, 1, *pairs, table, gaussians, scale, shift, out)
        natural = float(value) * np.log(2)
        exact = np.logaddexp(0, natural) / (1 + np.exp(-natural))
        np.testing.assert_allclose(out, exact, rtol=1e-6)
    with pytest.raises(NotImplementedError):
        exp2(1.0)
    with pytest.raises(NotImplementedError):
        log2_1p(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_of_messages_are_the_plain_ones(dtype, monkeypatch):
    """Beyond a block, and where numbers are large, without numba and as autograd tells."""
    random = torch.Generator().manual_seed(0)
    m, width = compiled.TOGETHER + 3, 5
    z = 10 * torch.randn(m, 2 * width, generator=random, dtype=dtype)
    z[0], z[1], z[2, 1] = 300.0, -300.0, torch.nan
    scale, shift = torch.randn(2, 2 * width, generator=random, dtype=dtype)
    weight = torch.randn(m, width, generator=random, dtype=dtype)
    fast, slopes = convolutions._gates(z.clone(), scale, shift)
    gradient = convolutions._gates_gradient(slopes, weight)
    monkeypatch.setattr(convolutions, "kernel_maker", lambda: None)
    plain, same = convolutions._gates(z.clone(), scale, shift)
    # torch's softplus of more than 20 is its argument
    alike = {"rtol": 1e-9, "atol": 1e-12} if dtype == torch.float64 else {}
    torch.testing.assert_close(fast, plain, equal_nan=True, **alike)
    torch.testing.assert_close(slopes, same, equal_nan=True, **alike)
    expected = convolutions._gates_gradient(same, weight)
    torch.testing.assert_close(gradient, expected, equal_nan=True, **alike)
    before = (scale * z + shift).requires_grad_()
    gate, core = before.chunk(2, dim=1)
    (weight * gate.sigmoid() * torch.nn.functional.softplus(core)).sum().backward()
    torch.testing.assert_close(gradient, before.grad, equal_nan=True)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_compiled_transposition_is_that_of_scipy(weighted):
    random = np.random.default_rng(0)
    offset = torch.from_numpy(np.cumsum([0, 3, 0, 7, 5, 0]).astype(np.int32))
    index = torch.from_numpy(random.integers(4, size=15).astype(np.int32))
    rows = SparseRows(index, offset, torch.rand(15) if weighted else None)
    fast, plain = rows._counting_sort(6), rows._sorted_by_scipy(6)
    for ours, theirs in zip(vars(fast).values(), vars(plain).values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    dense = torch.rand(5, 3)
    whole = torch.zeros(6, 5)
    weight = rows.weight if weighted else torch.ones(15)
    whole.index_put_((index.long(), torch.arange(5).repeat_interleave(offset.diff())), weight, True)
    torch.testing.assert_close(fast @ dense, whole @ dense)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nearest_gaussians_are_all_that_count(dtype):
    distances = np.linspace(0, 6, 301)
    d = Distances.of(distances, 6.0, 11, dtype)
    whole = np.zeros((301, d.rows))
    for row, (near, value) in enumerate(zip(d.near, d.value, strict=True)):
        whole[row, near : near + len(value)] = value
    exact = np.exp(-(((distances[:, None] - np.linspace(0, 6, 11)) / 0.6) ** 2))
    inside = whole[:, d.padding : d.padding + 11]
    np.testing.assert_allclose(inside, exact, atol=2e-7 if dtype == torch.float32 else 1e-15)
    assert not np.delete(whole, np.s_[d.padding : d.padding + 11], axis=1).any()


def test_blocks_are_whole_crystals():
    crystals = np.array([0, 3, 5, 9, 10])
    edges = np.arange(11) * 7
    blocks = blocks_of(crystals, edges)
    assert blocks[0] == 0 and blocks[-1] == 10
    assert set(blocks) <= set(crystals.tolist())
