"""Batches that are put together on a GPU, where all graphs lie.

A CPU does best to compute once what the crystals of a batch have in common (`dataset`). A GPU
computes the few rows more in the same time, and would wait for the CPU to find them. So here equal
surroundings share a row within their crystal alone: what a batch needs are slices of arrays that
are on the device from the start. How long the slices are is known on the CPU, so nothing is waited
for: the CPU sends the numbers of the crystals, and runs ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from defectpool.graphs.elements import feature_table
from defectpool.training.batch import Batch, Layer, Rows, gaussian_expansion
from defectpool.training.colours import Round, colours_of
from defectpool.training.dataset import Dataset, element_groups

if TYPE_CHECKING:
    from defectpool.graphs.shards import GraphSet

Integers = NDArray[np.integer[Any]]


def dataset_on(
    device: torch.device, graphs: GraphSet, convolutions: int, gaussians: int
) -> Dataset | Resident:
    """Return the data set that suits a device; one that a GPU cannot hold stays on the CPU."""
    if device.type == "cuda":
        try:
            return Resident(graphs, convolutions, gaussians, device=device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    return Dataset(graphs, convolutions, gaussians, device=device)


@dataclass(frozen=True)
class _Slice:
    """Things of one kind (nodes, messages, ...) of the crystals of a batch, in their order.

    Attributes
    ----------
    total
        How many.
    position
        Number of each thing in the whole data set, [total].
    crystal
        Place of its crystal in the batch, [total].
    shift
        What takes its number in the data set to that in the batch, [crystals].
    """

    total: int
    position: Tensor
    crystal: Tensor
    shift: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Take the values of these things."""
        return values.index_select(0, self.position)

    def numbers(self, values: Tensor, things: _Slice) -> Tensor:
        """Take values that are numbers of other things, as numbers in the batch."""
        return self.of(values) + things.shift.index_select(0, self.crystal)


class _Ragged:
    """Where the things of each crystal lie in the whole data set, for all kinds of things."""

    def __init__(self, crystal: Sequence[Integers], crystals: int, device: torch.device) -> None:
        bounds = np.arange(crystals + 1)
        self.offset = np.stack([np.searchsorted(each, bounds) for each in crystal])
        self.begin = _integers(self.offset[:, :-1], device)
        self.length = _integers(np.diff(self.offset), device)

    def slices(self, chosen: Integers, index: Tensor) -> list[_Slice]:
        """Find the things of some crystals, which are known to CPU and device."""
        totals = (self.offset[:, chosen + 1] - self.offset[:, chosen]).sum(1).tolist()
        length = self.length.index_select(1, index)
        begin = self.begin.index_select(1, index)
        ends = length.view(-1).cumsum(0, dtype=torch.int32).view_as(length)
        first = ends - length  # with all kinds in a row
        run = torch.repeat_interleave(length.view(-1), output_size=sum(totals))
        every = torch.arange(len(run), dtype=torch.int32, device=run.device)
        position = every - (first - begin).view(-1).index_select(0, run)
        return [
            _Slice(*each)
            for each in zip(
                totals,
                position.split(totals),
                (run % len(chosen)).split(totals),
                first - first[:, :1] - begin,
                strict=True,
            )
        ]


class _Convolution:
    """The messages of one convolution for all crystals (`colours.Round`), on the device.

    Attributes
    ----------
    table
        Rows of the table of `Layer` that each message adds up, [messages, 3], with numbers of the
        whole data set.
    edges
        Edges that each message stands for, [messages].
    message, count
        For each sum of messages the messages and their multiplicities, [entries].
    degree, parent, weight
        How many messages each row out sums, its row in, and the sites it stands for, [rows out].
    edges_of
        Edges of each crystal (on the CPU), [crystals].
    """

    def __init__(
        self, one: Round, weight: Integers, crystal: Integers, crystals: int, device: torch.device
    ) -> None:
        degree = np.diff(one.offset)
        edges = np.bincount(
            one.message, weights=one.count * np.repeat(weight, degree), minlength=len(one.target)
        ).astype(np.int64)
        table = np.stack([2 * one.target, 2 * one.source + 1, one.distance], 1)
        self.edges_of = np.bincount(crystal, weights=edges, minlength=crystals).astype(np.int64)
        self.table, self.edges = _integers(table, device), _integers(edges, device)
        self.message, self.count = _integers(one.message, device), _integers(one.count, device)
        self.degree, self.parent = _integers(degree, device), _integers(one.parent, device)
        self.weight = _integers(weight, device)


class Resident:
    """All graphs of a training on a device, from which batches are cut there.

    A batch has the same outputs, gradients and statistics as one of `Dataset`, to rounding.

    Parameters
    ----------
    graphs, convolutions, gaussians, merge, device, dtype
        As for `Dataset`.

    Raises
    ------
    DefectpoolError
        The graphs were compressed for fewer convolutions.
    torch.OutOfMemoryError
        The device does not hold the graphs.
    """

    def __init__(
        self,
        graphs: GraphSet,
        convolutions: int,
        gaussians: int,
        *,
        merge: bool | None = None,
        device: str | torch.device = "cuda",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        device, crystals = self.device, len(graphs)
        colours = colours_of(graphs, convolutions, merge=merge, across=False)
        multiplicity = np.asarray(graphs.node_multiplicity, dtype=np.int64)
        node = np.repeat(np.arange(crystals), np.diff(graphs.node_offset))
        crystal_of_element, element = element_groups(graphs)
        # from the last convolution to the first: sites of each row, and the crystal of each thing
        weight = np.bincount(colours.last, weights=multiplicity).astype(np.int64)
        row = np.empty(len(weight), dtype=np.int64)
        row[colours.last] = node
        self.convolutions: list[_Convolution] = []
        places = [row]
        for one in reversed(colours.rounds):
            before = np.empty(int(one.parent[-1]) + 1, dtype=np.int64)
            before[one.parent] = row
            message, entry = before[one.target], np.repeat(row, np.diff(one.offset))
            self.convolutions.insert(0, _Convolution(one, weight, message, crystals, device))
            places = [before, message, entry, *places]
            weight = np.bincount(one.parent, weights=weight).astype(np.int64)
            row = before
        self.ragged = _Ragged([node, crystal_of_element, *places], crystals, device)
        self.sites_of = np.bincount(node, weights=multiplicity, minlength=crystals).astype(np.int64)
        self.number, self.row, self.element = (
            _integers(values, device) for values in (colours.numbers, colours.last, element)
        )
        self.multiplicity = torch.from_numpy(multiplicity).to(device, dtype)
        self.features = torch.from_numpy(feature_table().copy()).to(device, dtype)
        self.label = torch.from_numpy(np.asarray(graphs.label)).to(device, dtype)
        distances = torch.as_tensor(np.asarray(graphs.distances, dtype=np.float64))
        expanded = gaussian_expansion(distances, float(graphs.settings["radius"]), gaussians)
        self.expanded = expanded.to(device, dtype)

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, chosen: Sequence[int] | Integers, *, gradients: bool = True) -> Batch:
        """Put crystals together.

        Parameters
        ----------
        chosen
            Numbers of the crystals.
        gradients
            Whether the batch is for training.
        """
        chosen = np.asarray(chosen, dtype=np.int64)
        numbers = torch.from_numpy(chosen.astype(np.int32))
        if self.device.type == "cuda":  # from pinned memory, so that the CPU need not wait
            numbers = numbers.pin_memory()
        index = numbers.to(self.device, non_blocking=True)
        nodes, elements, *places = self.ragged.slices(chosen, index)
        rows = places[::3]
        return Batch(
            features=self.features.index_select(0, rows[0].of(self.number)),
            expanded=self.expanded,
            layers=tuple(
                self._layer(one, chosen, *places[3 * r : 3 * r + 4], gradients=gradients)
                for r, one in enumerate(self.convolutions)
            ),
            row=nodes.numbers(self.row, rows[-1]),
            multiplicity=nodes.of(self.multiplicity),
            crystal=nodes.crystal,
            offset=torch.searchsorted(
                nodes.crystal, self._counted(len(chosen) + 1), out_int32=True
            ),
            element=nodes.numbers(self.element, elements),
            elements=elements.total,
            label=self.label.index_select(0, index),
        )

    def _layer(
        self, one: _Convolution, chosen: Integers, before: _Slice, messages: _Slice,
        entries: _Slice, after: _Slice, *, gradients: bool,
    ) -> Layer:  # fmt: skip
        n, m, k, d = before.total, messages.total, after.total, len(self.expanded)
        edges, sites = int(one.edges_of[chosen].sum()), int(self.sites_of[chosen].sum())
        shift = 2 * before.shift
        shifts = torch.stack([shift, shift, torch.full_like(shift, 2 * n)], 1)
        table = (messages.of(one.table) + shifts.index_select(0, messages.crystal)).view(-1)
        stands_for = messages.of(one.edges)[:, None].expand(m, 3).reshape(-1)
        # whole numbers: their sums do not depend on the order in which they are added
        in_table = stands_for.new_zeros(2 * n + d).index_add_(0, table, stands_for)
        message = entries.numbers(one.message, messages)
        count = entries.of(one.count).to(self.dtype)
        degree, parent = after.of(one.degree), after.numbers(one.parent, before)
        weighted = total_transposed = None
        if gradients:
            three = self._counted(m)[:, None].expand(m, 3).reshape(-1)
            share = stands_for.to(self.dtype) / max(edges, 1)
            weighted = self._transposed(table, three, share, 2 * n + d)
            row = torch.repeat_interleave(degree, output_size=entries.total)
            total_transposed = self._transposed(message, row, count, m)
        return Layer(
            lookup=Rows(table, 3 * self._counted(m + 1)),
            lookup_transposed=Rows(weighted.index, weighted.offset) if weighted else None,
            lookup_transposed_share=weighted,
            total=Rows(message, _offsets(degree), count),
            total_transposed=total_transposed,
            parent=parent,
            # parents are sorted, so their children are slices
            children=Rows(
                self._counted(k),
                torch.searchsorted(parent, self._counted(n + 1), out_int32=True),
            ),
            table_share=in_table.to(self.dtype) / max(edges, 1),
            row_share=after.of(one.weight).to(self.dtype) / max(sites, 1),
            edges=edges,
            sites=sites,
        )

    def _transposed(self, column: Tensor, row: Tensor, weight: Tensor, columns: int) -> Rows:
        """Transpose a sparse matrix, given by the column, row and weight of each entry."""
        column, order = torch.sort(column, stable=True)
        offset = torch.searchsorted(column, self._counted(columns + 1), out_int32=True)
        return Rows(row.index_select(0, order), offset, weight.index_select(0, order))

    def _counted(self, count: int) -> Tensor:
        return torch.arange(count, dtype=torch.int32, device=self.device)


def _offsets(lengths: Tensor) -> Tensor:
    """Where each of some runs begins, and the end."""
    return F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))


def _integers(values: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int32)).to(device)
