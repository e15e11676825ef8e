"""Peers of a site against plain loops."""

import numpy as np
import pytest
import torch
from crystal_examples import graphs, pair

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.network import peers
from defectpool.network.pooling import ALIKE, Sites

EXAMPLES = (
    pair(0, "vacancy", 3) + pair(1, "substitution", 2, rattle=0.02) + pair(4, "interstitial", 2)
)


def sites_of(compression, width=4):
    graph_set = graphs(EXAMPLES, compression=compression)
    batch = CPUDataset(graph_set, 3, 9, dtype=torch.float64).batch(np.arange(len(graph_set)))
    torch.manual_seed(0)
    rows = len(batch.layers[-1].parent)
    return Sites([torch.randn(rows, width, dtype=torch.float64)], batch), batch


def plain(sites, batch, sharpness):
    """One site after the other, as the equations read."""
    v, m = sites.features, sites.multiplicity[:, 0]
    apart, scaled = torch.zeros_like(v), torch.zeros_like(v)
    for i in range(len(v)):
        weights, others = [], torch.flatten(torch.nonzero(batch.element == batch.element[i]))
        for j in others.tolist():
            distance = (v[i] - v[j]).square().sum()
            weights.append((m[j] - int(i == j)) * torch.exp(-sharpness * distance))
        weight = torch.stack(weights)[:, None]
        if weight.sum() == 0:
            continue
        weight = weight / weight.sum()
        mean = (weight * v[others]).sum(0)
        variance = (weight * (v[others] - mean).square()).sum(0)
        apart[i] = v[i] - mean
        scaled[i] = apart[i] / (variance + ALIKE**2).sqrt()
    return apart, scaled


@pytest.mark.parametrize("compression", [True, False])
@pytest.mark.parametrize("most", [2**22, 200, 1])
def test_they_are_the_plain_ones(monkeypatch, compression, most):
    monkeypatch.setattr(peers, "MOST", most)
    sites, batch = sites_of(compression)
    sharpness = torch.tensor(0.7, dtype=torch.float64)
    found = peers.peer_deviations(sites, sharpness)
    for ours, theirs in zip(found, plain(sites, batch, sharpness), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_site_without_peers_deviates_by_nothing():
    sites, batch = sites_of(compression=False)
    alone = torch.bincount(batch.element.long())[batch.element.long()] == 1
    assert alone.any()
    for values in peers.peer_deviations(sites, torch.tensor(1.0, dtype=torch.float64)):
        assert not values[alone].any() and values[~alone].any() and values.isfinite().all()
