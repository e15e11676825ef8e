"""Ragged arrays on a device: the items (nodes, messages, ...) of some crystals, by slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Padding:
    """Where the items of the padding graph stand in an array of a padded batch.

    Attributes
    ----------
    first, count
        Place of the first, and how many there are (numbers on the device).
    place
        Place of each item within the padding, below 0 for items of crystals, [total].
    """

    first: Tensor
    count: Tensor
    place: Tensor

    def over(self, numbers: Tensor, first: Tensor | int, count: Tensor | int) -> Tensor:
        """Replace the numbers of the padding: spread evenly over `count` ones from `first` on."""
        spread = (first + self.place * count // self.count).to(numbers.dtype)
        return torch.where(self.place < 0, numbers, spread)


@dataclass(frozen=True)
class Slice:
    """Items of one array (nodes, messages, ...) of the crystals of a batch, in their order.

    Attributes
    ----------
    total
        How many.
    position
        Number of each item in the whole data set, [total].
    crystal
        Place of its crystal in the batch, [total].
    shift
        What takes its number in the data set to that in the batch, [crystals].
    padding
        The padding of a padded batch.
    """

    total: int
    position: Tensor
    crystal: Tensor
    shift: Tensor
    padding: Padding | None = None

    def of(self, values: Tensor) -> Tensor:
        """Take the values of these items."""
        return values.index_select(0, self.position)

    def numbers(self, values: Tensor, items: Slice) -> Tensor:
        """Take values that are numbers of other items, as numbers in the batch."""
        found = self.of(values) + items.shift.index_select(0, self.crystal)
        if self.padding is None or items.padding is None:
            return found
        return self.padding.over(found, items.padding.first, items.padding.count)


class RaggedArrays:
    """Where the items of each crystal lie in the whole data set, for several arrays.

    Parameters
    ----------
    crystal
        For each array the crystal of each item, ascending.
    crystals
        How many crystals; one item of each array, that of the padding graph, follows theirs.
    """

    def __init__(self, crystal: Sequence[Integers], crystals: int, device: torch.device) -> None:
        bounds = np.arange(crystals + 1)
        self.offset = np.stack([np.searchsorted(each, bounds) for each in crystal])
        self.begin = int32_on(self.offset, device)
        self.length = int32_on(np.diff(self.offset, append=self.offset[:, -1:] + 1), device)
        self.padding = torch.full((1,), crystals, dtype=torch.int32, device=device)

    def totals(self, indices: Integers) -> list[int]:
        """How many items of each array some crystals have."""
        return (self.offset[:, indices + 1] - self.offset[:, indices]).sum(1).tolist()

    def padded_sizes(self, size: int) -> list[int]:
        """How many items of each array so many crystals have at most, and one of the padding."""
        lengths = np.sort(np.diff(self.offset), axis=1)
        return (lengths[:, -size:].sum(1) + 1).tolist()

    def slices(self, index: Tensor, totals: list[int], *, padded: bool = False) -> list[Slice]:
        """Find the items of some crystals.

        Parameters
        ----------
        index
            Indices of the crystals, on the device.
        totals
            Number of items of each array; what the crystals do not fill is padding.
        padded
            Whether there is padding.
        """
        if padded:
            index = torch.cat([index, self.padding])
        length = self.length.index_select(1, index)
        begin = self.begin.index_select(1, index)
        if padded:
            for array, total in enumerate(totals):
                length[array, -1] = total - length[array, :-1].sum()
        ends = length.view(-1).cumsum(0, dtype=torch.int32).view_as(length)
        first = ends - length  # with all arrays in a row
        run = torch.repeat_interleave(length.view(-1), output_size=sum(totals))
        every = torch.arange(len(run), dtype=torch.int32, device=run.device)
        position = every - (first - begin).view(-1).index_select(0, run)
        found = [
            Slice(*each)
            for each in zip(
                totals,
                position.split(totals),
                (run % length.shape[1]).split(totals),
                first - first[:, :1] - begin,
                strict=True,
            )
        ]
        if not padded:
            return found
        return [_padded(each) for each in zip(found, length[:, -1], begin[:, -1], strict=True)]


def _padded(each: tuple[Slice, Tensor, Tensor]) -> Slice:
    """Mark the padding of a slice, given its length and the position of its only item."""
    one, length, position = each
    first = one.total - length
    place = torch.arange(one.total, device=one.position.device) - first
    return replace(
        one,
        position=torch.minimum(one.position, position),
        padding=Padding(first, length, place),
    )


def int32_on(values: NDArray[np.integer], device: torch.device) -> Tensor:
    """Send integers to a device, of the size that torch's sums read fastest."""
    return torch.from_numpy(values.astype(np.int32)).to(device)
