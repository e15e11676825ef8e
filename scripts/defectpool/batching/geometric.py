"""Batches from `torch_geometric` objects: every site and edge stands for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from defectpool.batching.batch import Batch, SparseInputs
from defectpool.batching.expansion import gaussian_expansion, smooth_cutoff
from defectpool.batching.layer import Messages, build_layer
from defectpool.batching.sparse import counted, offsets

if TYPE_CHECKING:
    from torch_geometric.data import Data


def batch_of_data(data: Data, convolutions: int, radius: float = 8.0, gaussians: int = 41) -> Batch:
    """Make a batch of a `torch_geometric` object.

    Parameters
    ----------
    data
        A `Data` as `defectpool.cif_to_graph` makes it, or a `Batch` of such: `x` [sites, 92],
        `edge_index` [2, edges] (row 0 the neighbor, row 1 the site that receives), `edge_attr`
        [edges, 1] in Å, and `y`, if there is one, the labels.
    convolutions, radius, gaussians
        As in the network's and the graphs' settings.
    """
    x, device = data.x, data.x.device
    sites, edges = x.shape[0], data.edge_index.shape[1]
    crystal = getattr(data, "batch", None)
    crystal = torch.zeros(sites, dtype=torch.int64, device=device) if crystal is None else crystal
    crystals = int(crystal.max()) + 1 if sites else 0
    target, order = torch.sort(data.edge_index[1], stable=True)
    target, site = target.to(torch.int32), counted(sites, device)
    messages = Messages(
        target=target,
        source=data.edge_index[0].index_select(0, order).to(torch.int32),
        distance=counted(edges, device),
        edges=torch.ones(edges, dtype=torch.float64, device=device),
        message=counted(edges, device),
        row=target,
        count=torch.ones(edges, dtype=x.dtype, device=device),
        parent=site,
        weight=torch.ones(sites, dtype=torch.float64, device=device),
    )
    distances = data.edge_attr.reshape(-1).index_select(0, order).to(x.dtype)
    layer = build_layer(messages, sites, smooth_cutoff(distances, radius), gradients=True)
    elements, element = torch.unique(
        torch.cat([crystal[:, None].to(x.dtype), x], 1), dim=0, return_inverse=True
    )
    label = getattr(data, "y", None)
    label = torch.zeros(crystals, device=device) if label is None else label.reshape(-1)
    return Batch(
        features=x,
        inputs=SparseInputs(
            gaussian_expansion(distances, radius, gaussians), (layer,) * convolutions
        ),
        row=site,
        multiplicity=torch.ones(sites, dtype=x.dtype, device=device),
        crystal=crystal.to(torch.int32),
        offset=offsets(crystal.to(torch.int32).contiguous(), crystals),
        element=element.to(torch.int32),
        n_elements=len(elements),
        label=label.to(x.dtype),
    )
