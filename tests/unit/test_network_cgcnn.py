"""The fast network against the plain one, against the published code, and against itself."""

import copy
from itertools import product

import numpy as np
import pytest
import torch
from crystal_examples import Full, campaign, graphs, pair, plain_forward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from defectpool.batching import dataset
from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.batching.neighbor_dataset import NeighborDataset
from defectpool.config import NetworkSettings
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.initial import initial_network
from defectpool.network.pooling import POOLINGS
from defectpool.training.step import train_step

SMALL = NetworkSettings(width=6, n_convolutions=3, hidden=5, gaussians=9)
RADIUS = 6.0


def make(pooling, convolution="gated", size=SMALL, seed=3):
    return initial_network(pooling, convolution, size, RADIUS, seed).double()


def data(graph_set, merge=None, size=SMALL, kind=CPUDataset, device="cpu"):
    settings = {"merge": merge, "dtype": torch.float64, "device": device}
    if kind is NeighborDataset:
        settings = {"dtype": torch.float64}
    return kind(graph_set, size.n_convolutions, size.gaussians, **settings)


def step(network, logits, label):
    network.zero_grad()
    F.binary_cross_entropy_with_logits(logits, label).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def assert_same(one, two, tolerance=1e-10):
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(
            one[name], two[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def compare(examples, pooling, convolution, shells, size=SMALL, **options):
    """Outputs, gradients and running statistics of the plain network and of ours, in all ways."""
    compressed = graphs(examples, shells=shells, rounds=size.n_convolutions, **options)
    full = graphs(examples, shells=shells, compression=False, **options)
    chosen = np.arange(len(full.label))[::-1]
    plain = make(pooling, convolution, size)
    rows = Full.of(full, chosen)
    logits = plain_forward(plain, rows, RADIUS)
    gradients, state = step(plain, logits, rows.label), plain.state_dict()
    first = None
    for graph_set, merge, kind in product(
        (compressed, full), (True, False), (CPUDataset, GPUDataset, NeighborDataset)
    ):
        ours, source = make(pooling, convolution, size), data(graph_set, merge, size, kind)
        batch = source.batch(chosen)
        found = ours(batch)
        torch.testing.assert_close(found, logits, rtol=1e-10, atol=1e-10)
        found_gradients = step(ours, found, batch.label)
        # torch's own batch norm loses a digit where nearly all sites are alike
        assert_same(found_gradients, gradients, tolerance=2e-9)
        if first is None:
            first = found_gradients
        assert_same(found_gradients, first)
        assert_same(ours.state_dict(), state)
        ours.eval(), plain.eval()
        with torch.inference_mode():
            again = ours(source.batch(chosen, gradients=False))
            torch.testing.assert_close(
                again, plain_forward(plain, rows, RADIUS), rtol=1e-10, atol=1e-10
            )


@pytest.mark.parametrize("convolution", ["gated", "summed"])
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_equals_the_plain_network(pooling, convolution):
    examples = pair(0, "vacancy", 3) + pair(1, "substitution", 2) + pair(4, "interstitial", 2)
    compare(examples, pooling, convolution, "truncated")


def test_all_neighbors_of_displaced_atoms():
    examples = pair(0, "vacancy", 2, rattle=0.05) + pair(1, "interstitial", 2)
    compare(examples, "max", "gated", "truncated", max_neighbors=None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cases=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["vacancy", "substitution", "interstitial"]),
            st.integers(1, 3),
            st.sampled_from([0.0, 0.0, 0.02]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=3,
    ),
    pooling=st.sampled_from(list(POOLINGS)),
    shells=st.sampled_from(["truncated", "complete"]),
    convolutions=st.integers(1, 4),
)
def test_compression_is_exact(cases, pooling, shells, convolutions):
    examples = []
    for i, (number, defect, size, rattle, seed) in enumerate(cases):
        if number == 0 and size == 1 and defect == "vacancy":
            size = 2
        examples += [
            type(one)(**{**vars(one), "structure": f"{i}{one.structure}", "pair": f"{i}{one.pair}"})
            for one in pair(number, defect, size, rattle, seed)
        ]
    size = SMALL.model_copy(update={"n_convolutions": convolutions})
    compare(examples, pooling, "gated", shells, size)


@pytest.mark.parametrize(
    ("optimizer", "rate", "tolerance"),
    # Adam divides by the size of gradients, and some are nothing but rounding
    [(torch.optim.SGD, 0.02, 1e-10), (torch.optim.AdamW, 1e-3, 1e-6)],
)
def test_weights_agree_after_twenty_steps(optimizer, rate, tolerance):
    compressed, full = campaign(8, size=2), campaign(8, size=2, compression=False)
    networks, random = [], np.random.default_rng(0)
    batches = [random.choice(16, 6, replace=False) for _ in range(20)]
    for graph_set, kind in ((compressed, CPUDataset), (full, CPUDataset), (compressed, GPUDataset)):
        network, source = make("max"), data(graph_set, kind=kind)
        steps = optimizer(network.parameters(), lr=rate)
        for chosen in batches:
            batch = source.batch(chosen)
            step(network, network(batch), batch.label)
            steps.step()
        networks.append(network.state_dict())
    for other in networks[1:]:
        assert_same(networks[0], other, tolerance=tolerance)


def test_maximum_shares_its_gradient_among_tied_sites():
    pristine = graphs(pair(1, "vacancy", 2)[1:])
    network = make("max")
    batch = data(pristine).batch([0])
    rows = network.rows(batch)
    from defectpool.network.pooling import Sites

    # make all sites alike: every site then has the same share, a node as many as it has sites
    alike = torch.ones_like(rows[-1]).requires_grad_()
    features = alike.index_select(0, batch.row)
    features.retain_grad()

    class Alike(Sites):
        @property
        def features(self):
            return features

    POOLINGS["max"](Alike(rows, batch)).sum().backward()
    expected = batch.multiplicity / batch.multiplicity.sum()
    torch.testing.assert_close(features.grad, expected[:, None].expand_as(features))


def test_a_batch_does_not_depend_on_the_order_of_crystals():
    source, network = data(campaign(6)), make("contrast").eval()
    order = np.random.default_rng(1).permutation(12)
    with torch.inference_mode():
        one = network(source.batch(np.arange(12), gradients=False))
        two = network(source.batch(order, gradients=False))
    torch.testing.assert_close(one[order], two, rtol=1e-12, atol=1e-12)


def test_merging_saves_what_it_promises():
    examples = pair(1, "vacancy", 4)
    merged = data(graphs(examples)).batch([0, 1])
    apart = data(graphs(examples, compression=False)).batch([0, 1])
    assert [layer.edges for layer in merged.layers] == [layer.edges for layer in apart.layers]
    messages = [len(layer.messages) for layer in merged.layers]
    assert messages == sorted(messages)
    assert sum(messages) < 0.3 * sum(len(layer.messages) for layer in apart.layers)


def test_same_initial_weights_for_every_pooling():
    states = [initial_network(p, "gated", SMALL, 8.0, 5).state_dict() for p in POOLINGS]
    for state in states[1:]:
        assert_same(state, states[0], 0)


def test_float32_is_close_to_float64():
    graph_set, size = campaign(6), NetworkSettings()
    network = initial_network("max", "gated", size, RADIUS, 1)
    double = copy.deepcopy(network).double()
    one = network(CPUDataset(graph_set, 3, 41).batch(np.arange(12)))
    two = double(CPUDataset(graph_set, 3, 41, dtype=torch.float64).batch(np.arange(12)))
    torch.testing.assert_close(one.double(), two, rtol=1e-4, atol=1e-4)


def test_unknown_names_are_refused():
    from defectpool.errors import DefectpoolError

    with pytest.raises(DefectpoolError, match="pooling 'median' is unknown"):
        CrystalGraphNetwork("median")


@pytest.mark.parametrize("convolution", ["gated", "summed"])
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_a_step_on_a_device_asks_it_for_nothing(pooling, convolution):
    # A meta tensor has no values: a step that waited for one, or mixed devices, would fail.
    source = data(campaign(4, size=2), kind=GPUDataset, device="meta")
    network = make(pooling, convolution).to("meta")
    optimizer = torch.optim.AdamW(network.parameters())
    loss, right = train_step(network, optimizer, source, np.array([5, 0, 2]))
    assert loss.device.type == right.device.type == "meta"
    with torch.inference_mode():
        assert network.eval()(source.batch([1, 3], gradients=False)).shape == (2,)


def test_graphs_that_a_gpu_cannot_hold_stay_on_the_cpu(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(dataset, "GPUDataset", full)
    monkeypatch.setattr(dataset, "cpu_dataset", lambda *graphs, device: (*graphs, device))
    cuda, graph_set = torch.device("cuda"), campaign(1)
    assert dataset.dataset_on(cuda, graph_set, 3, 41) == (graph_set, 3, 41, cuda)


@pytest.mark.parametrize("compression", [True, False])
@pytest.mark.parametrize("convolution", ["gated", "summed"])
def test_the_plain_convolution_is_the_fast_one(convolution, compression):
    """`network.implementation: plain` gives the same outputs, gradients and statistics."""
    examples = pair(0, "vacancy", 3) + pair(1, "substitution", 2) + pair(4, "interstitial", 2)
    source = data(graphs(examples, compression=compression))
    batch, networks = source.batch(np.arange(6)), []
    for implementation in ("fast", "plain"):
        size = SMALL.model_copy(update={"implementation": implementation})
        networks.append(make("max", convolution, size))
    assert type(networks[0].convs[0]) is not type(networks[1].convs[0])
    logits = [network(batch) for network in networks]
    torch.testing.assert_close(*logits, rtol=1e-10, atol=1e-10)
    gradients = [step(n, x, batch.label) for n, x in zip(networks, logits, strict=True)]
    assert_same(*gradients, tolerance=1e-9)
    assert_same(*(network.state_dict() for network in networks))
    with torch.inference_mode():
        again = [n.eval()(source.batch([2, 0], gradients=False)) for n in networks]
    torch.testing.assert_close(*again, rtol=1e-10, atol=1e-10)
