"""Flat arrays in a file, for graphs that do not fit into memory."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from defectpool.runtime.disk import disk_error


class DiskArray:
    """Flat array in a scratch file, of which slices are read and written.

    A slice is read into fresh memory. A memory map would do so, too, but a scheduler counts its
    pages as memory of the job. The file has no name, so nothing of it remains after a kill.

    Parameters
    ----------
    size, dtype
        Number and type of the entries.
    folder
        Folder for the file.

    Raises
    ------
    DefectpoolError
        The disk is full, or the folder must not be written to.
    """

    def __init__(self, size: int, dtype: DTypeLike, folder: Path) -> None:
        self.size, self.dtype, self.folder = size, np.dtype(dtype), folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise disk_error(error, folder) or error from None

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        begin, end, _ = rows.indices(self.size)
        values = np.empty(max(end - begin, 0), self.dtype)
        rest, place = values.view(np.uint8).data, begin * self.dtype.itemsize
        while rest:
            count = os.preadv(self._file.fileno(), [rest], place)
            if not count:
                raise EOFError(f"{self.folder}: the scratch file of the graphs ends too early")
            rest, place = rest[count:], place + count
        return values

    def __setitem__(self, rows: slice, values: NDArray[Any]) -> None:
        rest = np.ascontiguousarray(values, self.dtype).view(np.uint8).data
        place = rows.indices(self.size)[0] * self.dtype.itemsize
        try:
            while rest:
                count = os.pwrite(self._file.fileno(), rest, place)
                rest, place = rest[count:], place + count
        except OSError as error:
            self._file.close()  # first, so that its space counts as free
            needed = self.size * self.dtype.itemsize
            raise disk_error(error, self.folder, needed) or error from None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)
