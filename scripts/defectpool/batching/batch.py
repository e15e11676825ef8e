"""What the network computes on: some crystals as rows, messages and sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Rows:
    """A sparse matrix by rows: `rows @ dense` is a weighted sum of rows of `dense` for each row.

    Attributes
    ----------
    index
        Columns, one row after the other, [entries].
    offset
        Where each row begins, and the end, [rows + 1].
    weight
        Values, [entries], or None for ones.
    """

    index: Tensor
    offset: Tensor
    weight: Tensor | None = None

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Sum rows of `dense`, [columns, features] to [rows, features].

        The embedding bag is torch's fastest such sum on a CPU and needs no atomic additions on a
        GPU: each row is summed by one worker in the order of its entries.
        """
        return torch.embedding_bag(
            dense, self.index, self.offset, False, 0, False, self.weight, True
        )[0]


class SparseSum(torch.autograd.Function):
    """`rows @ dense` with a gradient, the transpose being known beforehand."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, rows: Rows, transposed: Rows) -> Tensor:
        """Return `rows @ dense`."""
        ctx.transposed = transposed
        return rows @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return `transposed @ gradient`."""
        return ctx.transposed @ gradients[0].contiguous(), None, None


@dataclass(frozen=True)
class Layer:
    """What one convolution computes: n rows in, m messages, k rows out.

    Attributes
    ----------
    lookup
        Message to the three rows of the table whose sum it is, [m, 2 n + d]: what row in i projects
        to as a target is row 2 i of the table, as a source row 2 i + 1; distances follow.
    lookup_transposed, lookup_transposed_share
        Its transpose, without weights and with the shares of the messages, or None where no
        gradient is wanted.
    total, total_transposed
        Messages summed at each row out, with multiplicities, [k, m].
    parent, children
        Row in of each row out, [k], and its transpose as sums, [n, k].
    table_share
        Share of all edges whose messages each row of the table adds to, [2 n + d].
    row_share
        Share of all sites that each row out stands for, [k].
    edges, sites
        Edges and sites of the full graphs; numbers, or where only a GPU knows them, tensors.
    """

    lookup: Rows
    lookup_transposed: Rows | None
    lookup_transposed_share: Rows | None
    total: Rows
    total_transposed: Rows | None
    parent: Tensor
    children: Rows
    table_share: Tensor
    row_share: Tensor
    edges: int | Tensor
    sites: int | Tensor

    @property
    def messages(self) -> int:
        """Number of messages that are computed."""
        return len(self.lookup.offset) - 1


@dataclass(frozen=True)
class Batch:
    """Some crystals, ready for the network.

    A *node* is a class of sites of one crystal that is stored as one, with its multiplicity; a
    *row* is what is computed once, for whatever nodes share it.

    Attributes
    ----------
    features
        Features of the elements (or sites) that occur, [rows before any convolution, 92].
    expanded
        Gaussian expansions of the distances that occur, the same for each convolution,
        [d, gaussians].
    layers
        One for each convolution.
    row
        Row of each node after the last convolution, [nodes].
    multiplicity
        Sites that a node stands for, [nodes].
    crystal, offset
        Crystal of each node, [nodes], in order; first node of each crystal, [crystals + 1].
    element
        Nodes of the same element in the same crystal have the same number, [nodes].
    elements
        How many such numbers there are.
    label
        1 defective, 0 pristine, [crystals]; the ghost of a padded batch, its last, has none.
    """

    features: Tensor
    expanded: Tensor
    layers: tuple[Layer, ...]
    row: Tensor
    multiplicity: Tensor
    crystal: Tensor
    offset: Tensor
    element: Tensor
    elements: int
    label: Tensor

    def __len__(self) -> int:
        return len(self.offset) - 1


def gaussian_expansion(distances: Tensor, radius: float, gaussians: int) -> Tensor:
    """Expand distances in Gaussians, exp(-(d - mu_k)^2 / s^2), as the published code does.

    Parameters
    ----------
    distances
        In Å, [d].
    radius
        Center of the last Gaussian in Å; the first is at 0.
    gaussians
        How many; their width s is their spacing.

    Returns
    -------
    Tensor
        [d, gaussians].
    """
    step = radius / (gaussians - 1)
    centers = torch.arange(gaussians, dtype=distances.dtype, device=distances.device) * step
    return torch.exp(-(((distances[:, None] - centers) / step) ** 2))


def table_rows(target: Integers, source: Integers, distance: Integers, n: int) -> NDArray[np.int32]:
    """Rows of the table that each message adds up, three by three (see `Layer.lookup`)."""
    rows = np.empty(3 * len(target), dtype=np.int32)
    rows[::3], rows[1::3], rows[2::3] = 2 * target, 2 * source + 1, distance + 2 * n
    return rows


def transpose(
    index: NDArray[Any], offset: NDArray[Any], weight: NDArray[Any] | None, columns: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Transpose a sparse matrix that is given by rows (a counting sort, linear in its size)."""
    # what csr_array(...).tocsc() calls; its checks would take longer than the sort
    from scipy.sparse import _sparsetools

    integers, rows = np.int32, len(offset) - 1
    values = np.ones(len(index), dtype=np.float32) if weight is None else weight
    row, begin = np.empty(len(index), integers), np.empty(columns + 1, integers)
    moved = np.empty_like(values)
    _sparsetools.csr_tocsc(
        rows, columns, offset.astype(integers, copy=False), index.astype(integers, copy=False),
        values, begin, row, moved,
    )  # fmt: skip
    return row, begin, None if weight is None else moved


def from_data(data: Data, convolutions: int, radius: float = 8.0, gaussians: int = 41) -> Batch:
    """Make a batch of `torch_geometric` objects: every site and edge stands for itself.

    Parameters
    ----------
    data
        A `Data` as `defectpool.graphs.cif_to_graph` makes it, or a `Batch` of such: `x`
        [sites, 92], `edge_index` [2, edges] (row 0 the neighbor, row 1 the site that receives),
        `edge_attr` [edges, 1] in Å, and `y`, if there is one, the labels.
    convolutions, radius, gaussians
        As in the network's and the graphs' settings.
    """
    x, device = data.x, data.x.device
    sites = x.shape[0]
    graph = getattr(data, "batch", None)
    graph = torch.zeros(sites, dtype=torch.int64, device=device) if graph is None else graph
    crystals = int(graph.max()) + 1 if sites else 0
    source, target = (row.cpu().numpy() for row in data.edge_index)
    order = np.argsort(target, kind="stable")
    source, target = source[order], target[order]
    edges = len(source)
    table = table_rows(target, source, np.arange(edges), sites)
    threes, offset = 3 * np.arange(edges + 1), np.searchsorted(target, np.arange(sites + 1))

    def integers(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.astype(np.int32)).to(device)

    def rows(index: NDArray[Any], begin: NDArray[Any], _: object = None) -> Rows:
        return Rows(integers(index), integers(begin))

    every, each = np.arange(sites), np.arange(edges)
    transposed = rows(*transpose(table, threes, None, 2 * sites + edges))
    in_table = np.bincount(table, minlength=2 * sites + edges) / max(edges, 1)
    layer = Layer(
        lookup=rows(table, threes),
        lookup_transposed=transposed,
        lookup_transposed_share=Rows(
            transposed.index,
            transposed.offset,
            torch.full((3 * edges,), 1 / max(edges, 1), dtype=x.dtype, device=device),
        ),
        total=rows(each, offset),
        total_transposed=rows(target, np.arange(edges + 1)),
        parent=integers(every),
        children=rows(every, np.arange(sites + 1)),
        table_share=torch.from_numpy(in_table).to(device, x.dtype),
        row_share=torch.full((sites,), 1 / max(sites, 1), dtype=x.dtype, device=device),
        edges=edges,
        sites=sites,
    )
    kinds = torch.unique(torch.cat([graph[:, None].to(x.dtype), x], 1), dim=0, return_inverse=True)
    distances = data.edge_attr.reshape(-1)[torch.from_numpy(order).to(device)]
    label = getattr(data, "y", None)
    return Batch(
        features=x,
        expanded=gaussian_expansion(distances.to(x.dtype), radius, gaussians),
        layers=(layer,) * convolutions,
        row=integers(every),
        multiplicity=torch.ones(sites, dtype=x.dtype, device=device),
        crystal=graph.to(torch.int32),
        offset=torch.searchsorted(graph.contiguous(), torch.arange(crystals + 1, device=device)).to(
            torch.int32
        ),
        element=kinds[1].to(torch.int32),
        elements=len(kinds[0]),
        label=torch.zeros(crystals, dtype=x.dtype, device=device)
        if label is None
        else label.reshape(-1).to(x.dtype),
    )
