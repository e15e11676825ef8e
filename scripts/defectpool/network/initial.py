"""Networks by the word that the config has for them, with random weights from a seed."""

from __future__ import annotations

import torch

from defectpool.config import NetworkSettings
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.site_network import SITES, SiteNetwork


def network_named(
    pooling: str, convolution: str, settings: NetworkSettings, radius: float, n_outputs: int = 1
) -> CrystalGraphNetwork:
    """Network for a pooling, or the one with a class for every site (`sites`)."""
    if pooling == SITES:
        return SiteNetwork(convolution, settings, radius)
    return CrystalGraphNetwork(pooling, convolution, settings, radius, n_outputs)


def initial_network(
    pooling: str,
    convolution: str,
    settings: NetworkSettings,
    radius: float,
    seed: int,
    n_outputs: int = 1,
) -> CrystalGraphNetwork:
    """Network with random weights from a seed: the same for every pooling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network_named(pooling, convolution, settings, radius, n_outputs)
