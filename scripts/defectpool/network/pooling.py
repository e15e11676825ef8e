r"""Poolings (readouts): the features of a crystal from those of its sites.

A pooling is one function of `Sites` under the decorator `pooling`; its name then works in
`poolings` of the config. A function in a file of your own needs no decorator: name it there as
`my_poolings.py:my_function`. Each function here counts a node as often as it has sites, so it gives
the same for a compressed and for a full graph, gradients included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from defectpool.batching.batch import Batch
from defectpool.batching.sparse import SparseRows, SparseSum, counted, offsets
from defectpool.runtime.registry import find

Pooling = Callable[["Sites"], Tensor]

POOLINGS: dict[str, Pooling] = {}


def pooling(function: Pooling) -> Pooling:
    """Register a pooling under the name of its function."""
    POOLINGS[function.__name__] = function
    return function


def pooling_named(name: str) -> Pooling:
    """Return a registered pooling, or one in a file: `my_poolings.py:my_function`."""
    return find(name, POOLINGS, "pooling")


@dataclass(frozen=True)
class Groups:
    """Nodes in groups: the crystals, or the elements of each crystal.

    Attributes
    ----------
    number
        Group of each node, [nodes].
    members
        The nodes of each group, as sums, [groups, nodes].
    member_of
        Its transpose: the group of each node, [nodes, groups].
    """

    number: Tensor
    members: SparseRows
    member_of: SparseRows

    def sum(self, values: Tensor) -> Tensor:
        """Sum within groups, [nodes, F] to [groups, F]."""
        return SparseSum.apply(values.contiguous(), self.members, self.member_of)

    def spread(self, table: Tensor) -> Tensor:
        """Give each node what its group has, [groups, F] to [nodes, F]."""
        return SparseSum.apply(table, self.member_of, self.members)

    def max(self, values: Tensor) -> Tensor:
        """Largest within groups, [nodes, F] to [groups, F]; it has no gradient."""
        values = values.detach()
        groups = len(self.members.offset) - 1
        where = self.number.long()[:, None].expand_as(values)
        largest = values.new_full((groups, values.shape[1]), -torch.inf)
        return largest.scatter_reduce_(0, where, values, "amax")


class Sites:
    """Sites of a batch, as a pooling sees them.

    Attributes
    ----------
    multiplicity
        Sites that each node stands for, [nodes, 1].
    crystals, elements
        The nodes grouped by crystal, and by element within each crystal (`Groups`).
    element_sites
        Sites of each element in each crystal, [elements, 1].
    """

    def __init__(self, rows: list[Tensor], batch: Batch) -> None:
        self._rows, self._batch = rows, batch
        self.multiplicity = batch.multiplicity[:, None]
        self._each = counted(len(batch.row) + 1, batch.row.device)
        self.crystals = Groups(
            batch.crystal,
            SparseRows(self._each[:-1], batch.offset),
            SparseRows(batch.crystal, self._each),
        )

    @cached_property
    def elements(self) -> Groups:
        """The nodes grouped by element within each crystal."""
        number = self._batch.element
        order = torch.argsort(number, stable=True).to(torch.int32)
        offset = offsets(number.index_select(0, order), self._batch.n_elements)
        return Groups(number, SparseRows(order, offset), SparseRows(number, self._each))

    @cached_property
    def element_sites(self) -> Tensor:
        """Sites of each element in each crystal, [elements, 1]."""
        return self.elements.sum(self.multiplicity)

    @property
    def features(self) -> Tensor:
        """Features after the last convolution, [nodes, F]."""
        return self._rows[-1].index_select(0, self._batch.row)

    @property
    def layers(self) -> list[Tensor]:
        """Features before, between and after the convolutions, each [nodes, F]."""
        row, found = self._batch.row, [self.features]
        for layer, rows in zip(
            reversed(self._batch.layers), reversed(self._rows[:-1]), strict=True
        ):
            row = layer.parent.index_select(0, row)
            found.insert(0, rows.index_select(0, row))
        return found


@pooling
def mean(sites: Sites) -> Tensor:
    r"""Mean over sites, :math:`v_c = \frac{1}{N} \sum_i v_i`, [crystals, F].

    As published (Xie and Grossman 2018, with the convolution of eq. 5).
    """
    share = sites.multiplicity / sites.crystals.spread(sites.crystals.sum(sites.multiplicity))
    return sites.crystals.sum(sites.features * share)


@pooling
def sum(sites: Sites) -> Tensor:
    r"""Sum over sites, :math:`v_c = \sum_i v_i`, [crystals, F]: it grows with the supercell."""
    return sites.crystals.sum(sites.features * sites.multiplicity)


@pooling
def max(sites: Sites) -> Tensor:
    r"""Largest over sites, feature by feature, :math:`v_c = \max_i v_i`, [crystals, F].

    Where several sites tie, the gradient is shared equally among the tied *sites*: a class of m
    sites among n tied gets m / n of it. So it is the same for a compressed and for a full graph,
    and on a CPU and on a GPU.
    """
    return largest(sites, sites.features)


def largest(sites: Sites, values: Tensor) -> Tensor:
    """Largest value over the sites of each crystal, [crystals, F]; ties as in `max`."""
    with torch.no_grad():
        tied = values == sites.crystals.spread(sites.crystals.max(values))
        weight = tied * sites.multiplicity
        weight /= sites.crystals.spread(sites.crystals.sum(weight))
    return sites.crystals.sum(values * weight)


@pooling
def softmax(sites: Sites) -> Tensor:
    r"""Softmax over the sites of all layers, feature by feature, [crystals, F].

    .. math::
        v_c = \sum_{t,i} w_i^{(t)} \odot v_i^{(t)}, \quad
        w_i^{(t)} = e^{v_i^{(t)}} \Big/ \sum_{t',j} e^{v_j^{(t')}}

    with t from the embedding to the last convolution: between the mean and the maximum. It goes
    with the convolution of eq. 4.
    """
    layers = sites.layers
    largest = torch.stack([sites.crystals.max(values) for values in layers]).amax(0)
    shift = sites.crystals.spread(largest)
    weights = [sites.multiplicity * torch.exp(values - shift) for values in layers]
    numerator = sites.crystals.sum(
        torch.stack([w * v for w, v in zip(weights, layers, strict=True)]).sum(0)
    )
    return numerator / sites.crystals.sum(torch.stack(weights).sum(0))


# Spread of features below which sites count as alike; features are of the order of 1.
ALIKE = 0.01


def deviation(sites: Sites) -> Tensor:
    """Features of each site less their mean over the sites of its element, [nodes, F]."""
    center = sites.elements.sum(sites.features * sites.multiplicity) / sites.element_sites
    return sites.features - sites.elements.spread(center)


def z_scores(sites: Sites) -> Tensor:
    """z-score of each site: its deviation over its element's standard deviation, [nodes, F]."""
    apart = deviation(sites)
    variance = sites.elements.sum(apart.square() * sites.multiplicity) / sites.element_sites
    return apart * sites.elements.spread((variance + ALIKE**2).rsqrt())


@pooling
def contrast(sites: Sites) -> Tensor:
    r"""Largest deviation of a site from the sites of its own element, [crystals, F].

    .. math::
        v_c = \max_i \Big| v_i - \frac{1}{|E(i)|} \sum_{j \in E(i)} v_j \Big|

    with E(i) the sites of i's element in the same crystal. In a pristine crystal equivalent sites
    are alike, however large the supercell; a defect makes some differ. Ties as in `max`.
    """
    return largest(sites, deviation(sites).abs())


@pooling
def outlier(sites: Sites) -> Tensor:
    r"""Largest z-score of a site among the sites of its own element, [crystals, F].

    .. math::
        v_c = \max_i \frac{|v_i - \mu_{E(i)}|}{\sqrt{\sigma_{E(i)}^2 + \epsilon^2}}, \quad
        \epsilon = 0.01,

    with mean and variance, feature by feature, over the sites E(i) of i's element in the same
    crystal. `contrast` sees inequivalent sites of one element in a pristine crystal as well as a
    defect; here a share p of deviating sites among equal ones reaches
    :math:`\sqrt{(1 - p) / p}` whatever their features: 1 for two Wyckoff positions with equal
    numbers of sites, and the more, the fewer sites a defect touches. Ties as in `max`.
    """
    return largest(sites, z_scores(sites).abs())
