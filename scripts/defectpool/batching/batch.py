"""Batches: some crystals, ready for the network."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from defectpool.batching.layer import Layer
from defectpool.batching.neighbor_lists import NeighborLists


@dataclass(frozen=True)
class SparseInputs:
    """Layers of sparse sums, one for each convolution, and the distances that they share.

    Attributes
    ----------
    expanded
        Gaussian expansions of the distances that occur, [d, gaussians].
    layers
        One for each convolution.
    """

    expanded: Tensor
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Batch:
    """Some crystals, ready for the network.

    A *node* is a class of sites of one crystal that is stored as one, with its multiplicity; a
    *row* is what is computed once, for whatever nodes share it.

    Attributes
    ----------
    features
        Features of the elements (or sites) that occur, [rows before any convolution, 92]; with
        `feature_row` those of all elements, [elements, 92].
    inputs
        What the convolutions read: layers of sparse sums, or neighbor lists.
    row
        Row of each node after the last convolution, [nodes].
    multiplicity
        Sites that a node stands for, [nodes].
    crystal, offset
        Crystal of each node, [nodes], in order; first node of each crystal, [crystals + 1].
    element
        Nodes of the same element in the same crystal have the same number, [nodes].
    n_elements
        How many such numbers there are.
    label
        1 defective, 0 pristine, [crystals]; the padding graph of a padded batch, its last, has
        none.
    site_label
        Class of the sites of each node (`GraphSet.site_label`), [nodes]; None where unknown.
    feature_row
        Which of the features each row before any convolution has; None where each has its own.
    """

    features: Tensor
    inputs: SparseInputs | NeighborLists
    row: Tensor
    multiplicity: Tensor
    crystal: Tensor
    offset: Tensor
    element: Tensor
    n_elements: int
    label: Tensor
    site_label: Tensor | None = None
    feature_row: Tensor | None = None

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def expanded(self) -> Tensor:
        """Gaussian expansions of distances, the same for each convolution, [d, gaussians]."""
        return self.inputs.expanded

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What each convolution computes, as sparse sums."""
        return self.inputs.layers


def on_device(value: Any, device: torch.device) -> Any:
    """Send the tensors of a batch, or of a part of it, to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, SparseInputs):  # the layers of neighbor lists are one and the same
        layers = {id(layer): on_device(layer, device) for layer in value.layers}
        return SparseInputs(
            value.expanded.to(device), tuple(layers[id(layer)] for layer in value.layers)
        )
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        return replace(value, **{n: on_device(getattr(value, n), device) for n in names})
    return value
