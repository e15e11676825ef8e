"""Batches that are put together on a GPU, where all graphs lie.

A CPU does best to compute once what the crystals of a batch have in common (`dataset`). A GPU
computes the few rows more in the same time, and would wait for the CPU to find them. So here equal
surroundings share a row within their crystal alone: what a batch needs are slices of arrays that
are on the device from the start. How long the slices are is known on the CPU, so nothing is waited
for: the CPU sends the numbers of the crystals, and runs ahead.

A *padded* batch has the same sizes whatever its crystals are, so that a step on it can be captured
once and replayed (`captured`). It is filled up by a ghost: one more crystal, after all others, of
one site that no sum counts, repeated as often as needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch, Layer, Rows, gaussian_expansion
from defectpool.batching.cpu_dataset import Dataset, element_groups
from defectpool.graphs.elements import feature_table
from defectpool.graphs.refinement import Round, colors_of

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet

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
class _Ghosts:
    """Where the ghosts stand among the things of one kind of a padded batch.

    Attributes
    ----------
    first, count
        Place of the first, and how many there are (numbers on the device).
    place
        Place of each thing among the ghosts, below 0 for those of crystals, [total].
    """

    first: Tensor
    count: Tensor
    place: Tensor

    def over(self, numbers: Tensor, first: Tensor | int, count: Tensor | int) -> Tensor:
        """Replace the ghosts' numbers: spread evenly over `count` ones from `first` on."""
        spread = (first + self.place * count // self.count).to(numbers.dtype)
        return torch.where(self.place < 0, numbers, spread)


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
    ghosts
        Those of a padded batch.
    """

    total: int
    position: Tensor
    crystal: Tensor
    shift: Tensor
    ghosts: _Ghosts | None = None

    def of(self, values: Tensor) -> Tensor:
        """Take the values of these things."""
        return values.index_select(0, self.position)

    def numbers(self, values: Tensor, things: _Slice) -> Tensor:
        """Take values that are numbers of other things, as numbers in the batch."""
        found = self.of(values) + things.shift.index_select(0, self.crystal)
        if self.ghosts is None or things.ghosts is None:
            return found
        return self.ghosts.over(found, things.ghosts.first, things.ghosts.count)


class _Ragged:
    """Where the things of each crystal lie in the whole data set, for all kinds of things.

    Parameters
    ----------
    crystal
        For each kind the crystal of each thing, ascending.
    crystals
        How many crystals; one thing of each kind, of the ghost, comes after theirs.
    """

    def __init__(self, crystal: Sequence[Integers], crystals: int, device: torch.device) -> None:
        bounds = np.arange(crystals + 1)
        self.offset = np.stack([np.searchsorted(each, bounds) for each in crystal])
        self.begin = _integers(self.offset, device)
        self.length = _integers(np.diff(self.offset, append=self.offset[:, -1:] + 1), device)
        self.ghost = torch.full((1,), crystals, dtype=torch.int32, device=device)

    def totals(self, chosen: Integers) -> list[int]:
        """How many things of each kind some crystals have."""
        return (self.offset[:, chosen + 1] - self.offset[:, chosen]).sum(1).tolist()

    def capacities(self, size: int) -> list[int]:
        """How many things of each kind so many crystals have at most, and one ghost."""
        lengths = np.sort(np.diff(self.offset), axis=1)
        return (lengths[:, -size:].sum(1) + 1).tolist()

    def slices(self, index: Tensor, totals: list[int], *, padded: bool = False) -> list[_Slice]:
        """Find the things of some crystals, so many of each kind; the rest of these are ghosts."""
        if padded:
            index = torch.cat([index, self.ghost])
        length = self.length.index_select(1, index)
        begin = self.begin.index_select(1, index)
        if padded:
            for kind, total in enumerate(totals):
                length[kind, -1] = total - length[kind, :-1].sum()
        ends = length.view(-1).cumsum(0, dtype=torch.int32).view_as(length)
        first = ends - length  # with all kinds in a row
        run = torch.repeat_interleave(length.view(-1), output_size=sum(totals))
        every = torch.arange(len(run), dtype=torch.int32, device=run.device)
        position = every - (first - begin).view(-1).index_select(0, run)
        found = [
            _Slice(*each)
            for each in zip(
                totals,
                position.split(totals),
                (run % length.shape[1]).split(totals),
                first - first[:, :1] - begin,
                strict=True,
            )
        ]
        if padded:
            for kind, (one, total) in enumerate(zip(found, totals, strict=True)):
                first_ghost = total - length[kind, -1]
                found[kind] = replace(
                    one,
                    position=torch.minimum(one.position, begin[kind, -1]),
                    ghosts=_Ghosts(
                        first_ghost, length[kind, -1], every[:total].long() - first_ghost
                    ),
                )
        return found


class _Convolution:
    """The messages of one convolution for all crystals (`colors.Round`), on the device.

    All numbers are those of the whole data set; a ghost, which counts for nothing, is the last.

    Attributes
    ----------
    target, source, distance
        Rows in and distance of each message, [messages].
    edges
        Edges that each message stands for, [messages].
    message, count, row
        For each sum of messages the messages, their multiplicities and the row out, [entries].
    parent, weight
        Row in of each row out, and the sites that it stands for, [rows out].
    """

    def __init__(self, one: Round, weight: Integers, device: torch.device) -> None:
        degree = np.diff(one.offset)
        edges = np.bincount(
            one.message, weights=one.count * np.repeat(weight, degree), minlength=len(one.target)
        )
        row = np.repeat(np.arange(len(degree)), degree)
        (
            self.target, self.source, self.distance, self.edges, self.message, self.count,
            self.row, self.parent, self.weight,
        ) = (
            _with_ghost(values, device)
            for values in (
                one.target, one.source, one.distance, edges, one.message, one.count, row,
                one.parent, weight,
            )
        )  # fmt: skip


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
        colors = colors_of(graphs, convolutions, merge=merge, across=False)
        multiplicity = np.asarray(graphs.node_multiplicity, dtype=np.int64)
        node = np.repeat(np.arange(crystals), np.diff(graphs.node_offset))
        crystal_of_element, element = element_groups(graphs)
        # from the last convolution to the first: sites of each row, and the crystal of each thing
        weight = np.bincount(colors.last, weights=multiplicity).astype(np.int64)
        row = np.empty(len(weight), dtype=np.int64)
        row[colors.last] = node
        self.convolutions: list[_Convolution] = []
        places = [row]
        for one in reversed(colors.rounds):
            before = np.empty(int(one.parent[-1]) + 1, dtype=np.int64)
            before[one.parent] = row
            message, entry = before[one.target], np.repeat(row, np.diff(one.offset))
            self.convolutions.insert(0, _Convolution(one, weight, device))
            places = [before, message, entry, *places]
            weight = np.bincount(one.parent, weights=weight).astype(np.int64)
            row = before
        self.ragged = _Ragged([node, crystal_of_element, *places], crystals, device)
        self.number, self.row, self.element = (
            _with_ghost(values, device) for values in (colors.numbers, colors.last, element)
        )
        # the poolings of the ghost divide by the number of its sites
        self.multiplicity = _with_ghost(multiplicity, device, 1).to(dtype)
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
        index = self.send(chosen)
        return self._batch(
            index, self.ragged.slices(index, self.ragged.totals(chosen)), gradients=gradients
        )

    def padded(self, index: Tensor, capacities: list[int]) -> Batch:
        """Put crystals together, and a ghost after them, to the same sizes whatever they are.

        Parameters
        ----------
        index
            Numbers of the crystals, all different, on the device.
        capacities
            The sizes: `capacities` of the number of crystals.
        """
        slices = self.ragged.slices(index, capacities, padded=True)
        return self._batch(index, slices, gradients=True)

    def capacities(self, size: int) -> list[int]:
        """Sizes of a padded batch of so many crystals: enough for the largest."""
        return self.ragged.capacities(size)

    def send(self, chosen: Integers) -> Tensor:
        """Bring numbers of crystals to the device; the CPU does not wait for it."""
        numbers = torch.from_numpy(chosen.astype(np.int32))
        if self.device.type == "cuda":  # only from pinned memory it need not wait
            numbers = numbers.pin_memory()
        return numbers.to(self.device, non_blocking=True)

    def _batch(self, index: Tensor, slices: list[_Slice], *, gradients: bool) -> Batch:
        nodes, elements, *places = slices
        rows = places[::3]
        return Batch(
            features=self.features.index_select(0, rows[0].of(self.number)),
            expanded=self.expanded,
            layers=tuple(
                self._layer(one, *places[3 * r : 3 * r + 4], gradients=gradients)
                for r, one in enumerate(self.convolutions)
            ),
            row=nodes.numbers(self.row, rows[-1]),
            multiplicity=nodes.of(self.multiplicity),
            crystal=nodes.crystal,
            offset=self._offsets(nodes.crystal, len(nodes.shift)),
            element=nodes.numbers(self.element, elements),
            elements=elements.total,
            label=self.label.index_select(0, index),
        )

    def _layer(
        self, one: _Convolution, before: _Slice, messages: _Slice, entries: _Slice, after: _Slice,
        *, gradients: bool,
    ) -> Layer:  # fmt: skip
        n, m, k, d = before.total, messages.total, after.total, len(self.expanded)
        target, source = (messages.numbers(each, before) for each in (one.target, one.source))
        distance = messages.of(one.distance)
        if messages.ghosts is not None:
            distance = messages.ghosts.over(distance, 0, d)
        table = torch.stack([2 * target, 2 * source + 1, distance + 2 * n], 1).view(-1)
        stands_for = messages.of(one.edges)[:, None].expand(m, 3).reshape(-1)
        # whole numbers: their sums do not depend on the order in which they are added
        in_table = stands_for.new_zeros(2 * n + d).index_add_(0, table, stands_for)
        message, row = entries.numbers(one.message, messages), entries.numbers(one.row, after)
        count, weight = entries.of(one.count).to(self.dtype), after.of(one.weight)
        edges, sites = stands_for[::3].sum(), weight.sum()
        parent = after.numbers(one.parent, before)
        weighted = total_transposed = None
        if gradients:
            three = self._counted(m)[:, None].expand(m, 3).reshape(-1)
            share = stands_for.to(self.dtype) / edges.clamp_min(1)
            weighted = self._transposed(table, three, share, 2 * n + d)
            total_transposed = self._transposed(message, row, count, m)
        return Layer(
            lookup=Rows(table, 3 * self._counted(m + 1)),
            lookup_transposed=Rows(weighted.index, weighted.offset) if weighted else None,
            lookup_transposed_share=weighted,
            total=Rows(message, self._offsets(row, k), count),
            total_transposed=total_transposed,
            parent=parent,
            # parents are sorted, so their children are slices
            children=Rows(self._counted(k), self._offsets(parent, n)),
            table_share=in_table.to(self.dtype) / edges.clamp_min(1),
            row_share=weight.to(self.dtype) / sites.clamp_min(1),
            edges=edges,
            sites=sites,
        )

    def _transposed(self, column: Tensor, row: Tensor, weight: Tensor, columns: int) -> Rows:
        """Transpose a sparse matrix, given by the column, row and weight of each entry."""
        column, order = torch.sort(column, stable=True)
        return Rows(
            row.index_select(0, order),
            self._offsets(column, columns),
            weight.index_select(0, order),
        )

    def _offsets(self, ascending: Tensor, count: int) -> Tensor:
        """Where the runs of 0 ... count - 1 begin in ascending numbers, and the end."""
        return torch.searchsorted(ascending, self._counted(count + 1), out_int32=True)

    def _counted(self, count: int) -> Tensor:
        return torch.arange(count, dtype=torch.int32, device=self.device)


def _integers(values: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int32)).to(device)


def _with_ghost(values: NDArray[Any], device: torch.device, ghost: int = 0) -> Tensor:
    return _integers(np.append(values, ghost), device)
