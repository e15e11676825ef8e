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
    blocks: tuple[int, ...]
    convolutions: int
    gradients: bool

    def __len__(self) -> int:
        return len(self.multiplicity)

    @cached_property
    def cutoff_count(self) -> Floats:
        """Smooth weight of each neighbor, times how often it occurs, [e]."""
        return self.count * self.distances.cutoff[self.distance]

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
        """Share of all edges of the full graphs that each neighbor stands for, [e]."""
        return (self.edge_count / max(self.edges, 1.0)).astype(self.count.dtype)

    @cached_property
    def table_share(self) -> Tensor:
        """Shares of the edges that the rows of a table add to (`network.compiled`), [rows, 1]."""
        n, d = len(self), self.distances
        share = self.share.astype(np.float64)
        target = np.repeat(np.arange(n), np.diff(self.offset))
        sites = np.stack(
            [np.bincount(ends, share, minlength=n) for ends in (target, self.source)], axis=1
        )
        by_distance = np.bincount(self.distance, share, minlength=len(d.near))
        rows = np.zeros(d.rows)
        for k in range(d.value.shape[1]):
            rows += np.bincount(d.near + k, by_distance * d.value[:, k], minlength=d.rows)
        return torch.from_numpy(np.concatenate([sites.ravel(), rows]).astype(self.count.dtype))

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
