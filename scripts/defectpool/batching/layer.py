"""Layers: the messages of one convolution as rows, and the sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from defectpool.batching.sparse import SparseRows, counted, offsets


@dataclass(frozen=True)
class Messages:
    """The messages of one convolution and where they are summed: n rows in, k rows out.

    Attributes
    ----------
    target, source, distance
        Rows in and distance of each message, [m].
    edges
        Edges of the full graphs that each message stands for, float64, [m].
    message, row, count
        Message, row out and multiplicity of each entry of the sums, by ascending row, [entries].
    parent
        Row in of each row out, ascending, [k].
    weight
        Sites of the full graphs that each row out stands for, float64, [k].
    """

    target: Tensor
    source: Tensor
    distance: Tensor
    edges: Tensor
    message: Tensor
    row: Tensor
    count: Tensor
    parent: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Layer:
    """What one convolution computes: n rows in, m messages, k rows out.

    Attributes
    ----------
    messages
        The messages, as the plain convolution reads them.
    lookup
        Message to the three rows of the table whose sum it is, [m, 2 n + d]: what row in i projects
        to as a target is row 2 i of the table, as a source row 2 i + 1; distances follow.
    lookup_transposed, lookup_transposed_share
        Its transpose, without weights and with the shares of the messages, or None where no
        gradient is wanted.
    total, total_transposed
        Messages summed at each row out, with multiplicities, [k, m].
    children
        Rows out of each row in, as sums, [n, k].
    table_share
        Share of all edges whose messages each row of the table adds to, [2 n + d].
    row_share
        Share of all sites that each row out stands for, [k].
    cutoff
        Weight of each distance that falls smoothly to 0 at the cutoff radius, [d].
    edges, sites
        Edges and sites of the full graphs, on the device.
    """

    messages: Messages
    lookup: SparseRows
    lookup_transposed: SparseRows | None
    lookup_transposed_share: SparseRows | None
    total: SparseRows
    total_transposed: SparseRows | None
    children: SparseRows
    table_share: Tensor
    row_share: Tensor
    cutoff: Tensor
    edges: Tensor
    sites: Tensor

    @property
    def parent(self) -> Tensor:
        """Row in of each row out, [k]."""
        return self.messages.parent


def build_layer(messages: Messages, n: int, cutoff: Tensor, *, gradients: bool) -> Layer:
    """Build what one convolution computes from its messages.

    Parameters
    ----------
    messages
        The messages, on the device of the network.
    n
        Number of rows in.
    cutoff
        Weight of each distance (`smooth_cutoff`), in the type that the network computes in, [d].
    gradients
        Whether the layer is for training.
    """
    device, m, k = messages.target.device, len(messages.target), len(messages.parent)
    d, dtype = len(cutoff), cutoff.dtype
    rows = torch.stack([2 * messages.target, 2 * messages.source + 1, messages.distance + 2 * n], 1)
    table, threes = rows.view(-1), 3 * counted(m + 1, device)
    edges, sites = messages.edges.sum(), messages.weight.sum()
    # whole numbers: their sums do not depend on the order in which they are added
    stands_for = messages.edges.repeat_interleave(3, output_size=3 * m)
    in_table = stands_for.new_zeros(2 * n + d).index_add_(0, table, stands_for)
    share = (messages.edges / edges.clamp_min(1)).to(dtype)
    total = SparseRows(messages.message, offsets(messages.row, k), messages.count.to(dtype))
    transposed = None
    if gradients:
        by_share = share.repeat_interleave(3, output_size=3 * m)
        transposed = SparseRows(table, threes, by_share).transposed(2 * n + d)
    return Layer(
        messages=messages,
        lookup=SparseRows(table, threes),
        lookup_transposed=SparseRows(transposed.index, transposed.offset) if transposed else None,
        lookup_transposed_share=transposed,
        total=total,
        total_transposed=total.transposed(m) if gradients else None,
        # parents ascend, so their children are slices
        children=SparseRows(counted(k, device), offsets(messages.parent, n)),
        table_share=(in_table / edges.clamp_min(1)).to(dtype),
        row_share=(messages.weight / sites.clamp_min(1)).to(dtype),
        cutoff=cutoff,
        edges=edges,
        sites=sites,
    )
