"""Neighbor lists of a batch in which no site repeats another, for compiled sums over neighbors.

Every stored site is a row, before and after each convolution, and every stored edge a message. The
same batch as layers of sparse sums (`batching.batch`), for convolutions that have no compiled sums,
is made where one asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.expansion import gaussian_expansion, smooth_cutoff
from defectpool.batching.layer import Layer, Messages, build_layer
from defectpool.batching.neighbor_pairs import NeighborPairs

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

# Blocks of crystals whose sums are collected apart, so that they can be made in as many threads.
BLOCKS = 16

# Gaussians around a distance that are not 0 in the precision of a type: the farthest one left out
# is exp(-16) and exp(-64).
NEAREST = {torch.float32: 8, torch.float64: 16}


@dataclass(frozen=True)
class Distances:
    """Distances of a data set, and the few Gaussians that each of them is expanded in.

    Attributes
    ----------
    distances
        In Å, float64, [d].
    radius, gaussians
        Cutoff radius in Å, where the last Gaussian stands, and how many there are.
    near, value
        First of the nearest Gaussians in a table with `padding` rows before the first one, and
        the values of the nearest, [d] and [d, nearest].
    cutoff
        Smooth weights, [d].
    """

    distances: NDArray[np.float64]
    radius: float
    gaussians: int
    near: Integers
    value: Floats
    cutoff: Floats

    @classmethod
    def of(
        cls, distances: NDArray[np.float64], radius: float, gaussians: int, dtype: torch.dtype
    ) -> Distances:
        """Expand distances in their nearest Gaussians."""
        nearest, numpy_type = NEAREST[dtype], torch.empty(0, dtype=dtype).numpy().dtype
        place = np.clip(distances / (radius / (gaussians - 1)), 0, gaussians - 1)
        first = np.floor(place).astype(np.int32) - (nearest // 2 - 1)
        steps = first[:, None] + np.arange(nearest) - place[:, None]
        inside = (first[:, None] + np.arange(nearest) >= 0) & (
            first[:, None] + np.arange(nearest) < gaussians
        )
        cutoff = smooth_cutoff(torch.from_numpy(distances), radius).numpy()
        return cls(
            distances,
            radius,
            gaussians,
            first + nearest // 2,
            (np.exp(-(steps**2)) * inside).astype(numpy_type),
            cutoff.astype(numpy_type),
        )

    @property
    def padding(self) -> int:
        """Rows of a table before the first Gaussian and after the last one."""
        return self.value.shape[1] // 2

    @property
    def rows(self) -> int:
        """Rows of a table of the Gaussians, padding included."""
        return self.gaussians + 2 * self.padding


@dataclass(frozen=True)
class NeighborLists:
    """Neighbors of all sites of a batch: n sites, e neighbors.

    Attributes
    ----------
    offset
        Neighbors of site i are `offset[i]:offset[i + 1]`, [n + 1].
    source, distance
        Site of each neighbor, and its distance as an index into `distances`, [e].
    count
        How often a site has such a neighbor, in the type that the network computes in, [e].
    multiplicity
        Sites that each site stands for, float64, [n].
    distances
        The distances of the data set.
    pairs
        The same neighbors in pairs, counts in the type that the network computes in.
    blocks
        First sites of blocks of crystals, and the end.
    convolutions
        Number of convolutions.
    gradients
        Whether the batch is for training.
    """

    offset: Integers
    source: Integers
    distance: Integers
    count: Floats
    multiplicity: NDArray[np.float64]
    distances: Distances
    pairs: NeighborPairs
    blocks: tuple[int, ...]
    convolutions: int
    gradients: bool

    def __len__(self) -> int:
        return len(self.multiplicity)

    @cached_property
    def cutoff_count(self) -> Floats:
        """Smooth weight of both messages of each pair, times how often they occur, [p, 2]."""
        return self.pairs.count * self.distances.cutoff[self.pairs.distance][:, None]

    @cached_property
    def edge_count(self) -> NDArray[np.float64]:
        """Edges of the full graphs that each neighbor stands for, [e]."""
        return np.asarray(self.count * np.repeat(self.multiplicity, np.diff(self.offset)), float)

    @cached_property
    def edges(self) -> float:
        """Edges of the full graphs."""
        return float(self.edge_count.sum())

    @cached_property
    def share(self) -> Floats:
        """Share of all edges of the full graphs that both messages of each pair stand for, [p, 2].

        The first goes to the pair's first site.
        """
        targets = np.stack([self.pairs.first, self.pairs.other], axis=1)
        share = self.pairs.count * self.multiplicity[targets] / max(self.edges, 1.0)
        return share.astype(self.count.dtype)

    @cached_property
    def site_share(self) -> Floats:
        """Shares of all edges that go to each site and from it, [n, 2]."""
        first, n = self.pairs.first, len(self)
        to, back = self.share.T
        sums = [
            np.bincount(first, one, n) + np.bincount(self.pairs.other, two, n)
            for one, two in ((to, back), (back, to))
        ]
        return np.stack(sums, axis=1).astype(self.count.dtype)

    @cached_property
    def mean_expanded(self) -> Tensor:
        """Mean of the Gaussian expansions of all edges, [gaussians]."""
        return self._distance_share @ self.expanded

    @cached_property
    def expanded_moments(self) -> Tensor:
        """Second moments of the Gaussian expansions of all edges, less their mean, [K, K]."""
        centered = self.expanded - self.mean_expanded
        return (centered.T * self._distance_share) @ centered

    @cached_property
    def expanded_sums(self) -> Tensor:
        """Shares times expansions less their mean, over the edges to and from a site, [2 n, K]."""
        from defectpool.batching.pair_kernels import gaussian_sums  # numba may be missing

        pairs, d = self.pairs, self.distances
        sums = np.zeros((len(self), 2, d.rows), self.share.dtype)
        gaussian_sums(
            pairs.offset, pairs.other, pairs.distance, self.share, d.near, d.value, sums
        )  # fmt: skip
        share = torch.from_numpy(self.site_share)[:, :, None]
        inside = torch.from_numpy(sums)[:, :, d.padding : d.padding + d.gaussians]
        return (inside - share * self.mean_expanded).flatten(0, 1)

    @cached_property
    def _distance_share(self) -> Tensor:
        """Share of all edges that have a distance, [d]."""
        share = self.share.sum(1, dtype=np.float64)
        found = np.bincount(self.pairs.distance, share, minlength=len(self.distances.near))
        return torch.from_numpy(found.astype(self.count.dtype))

    @cached_property
    def row_share(self) -> Tensor:
        """Share of all sites of the full graphs that each site stands for, [n]."""
        share = self.multiplicity / max(float(self.multiplicity.sum()), 1.0)
        return torch.from_numpy(share.astype(self.count.dtype))

    @cached_property
    def expanded(self) -> Tensor:
        """Gaussian expansions of all distances of the data set, [d, gaussians]."""
        found = gaussian_expansion(
            torch.from_numpy(self.distances.distances),
            self.distances.radius,
            self.distances.gaussians,
        )
        return found.to(torch.from_numpy(self.count[:0]).dtype)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The same as sparse sums, once for all convolutions."""
        degree, n, e = np.diff(self.offset), len(self), len(self.source)
        target = torch.from_numpy(np.repeat(np.arange(n, dtype=np.int32), degree))
        every = torch.arange(e, dtype=torch.int32)
        messages = Messages(
            target=target,
            source=torch.from_numpy(self.source),
            distance=torch.from_numpy(self.distance),
            edges=torch.from_numpy(self.edge_count),
            message=every,
            row=target,
            count=torch.from_numpy(self.count),
            parent=torch.arange(n, dtype=torch.int32),
            weight=torch.from_numpy(self.multiplicity),
        )
        cutoff = torch.from_numpy(self.distances.cutoff)
        layer = build_layer(messages, n, cutoff, gradients=self.gradients)
        return (layer,) * self.convolutions


def blocks_of(crystal_offset: Integers, edge_offset: Integers) -> tuple[int, ...]:
    """First sites of blocks of whole crystals with about as many edges each, and the end.

    Parameters
    ----------
    crystal_offset
        First site of each crystal, and the end, [crystals + 1].
    edge_offset
        First edge of each site, and the end.
    """
    edges = np.asarray(edge_offset)[crystal_offset]
    aims = np.linspace(0, edges[-1], BLOCKS + 1)
    cuts = np.searchsorted(edges, aims)
    return tuple(np.unique(np.asarray(crystal_offset)[cuts]).tolist())
