"""Extended XYZ, written in full double precision and read back exactly.

ASE's own writer cuts positions to eight decimals and writes strings such as "F" (fluorine) in a way
that its reader takes for a truth value. Frames written here are read by `ase.io.read` with the same
bits, and by `read_frames` faster and with the types of all info values.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TextIO

import numpy as np
import orjson
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

Value = str | int | float | bool

PLAIN = re.compile(r"[A-Za-z0-9_.:/#+-]+")
PAIR = re.compile(r'(\w+)=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|(\S*))')
ESCAPED = re.compile(r"\\(.)")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf|nan)", re.IGNORECASE)
RESERVED = {"Lattice", "Properties", "pbc"}


class Frame(NamedTuple):
    """One structure: atomic numbers [sites], positions [sites, 3] and cell [3, 3] in Å."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: tuple[bool, bool, bool]
    info: dict[str, Value]


def write_frame(
    file: TextIO,
    numbers: NDArray[np.integer],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: Iterable[bool],
    info: Mapping[str, Value],
) -> None:
    """Append one frame.

    Parameters
    ----------
    file
        Open text file; gzip by `gzip.open(path, "wt")`, for instance.
    numbers, positions, cell, pbc
        Atomic numbers [sites], positions [sites, 3] in Å, cell vectors as rows [3, 3] in Å,
        periodicity along each.
    info
        What else belongs to the frame, in the order in which it is to be written.

    Raises
    ------
    ValueError
        For an info key that is not a plain word or that the format uses itself.
    """
    lattice = " ".join(map(repr, np.asarray(cell, dtype=float).ravel().tolist()))
    words = [
        f'Lattice="{lattice}"',
        "Properties=species:S:1:pos:R:3",
        'pbc="{}"'.format(" ".join("T" if p else "F" for p in pbc)),
    ]
    for key, value in info.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", key) or key in RESERVED:
            raise ValueError(f"{key!r} cannot be the name of an info value in extended XYZ")
        words.append(f"{key}={_text(value)}")
    symbols = [chemical_symbols[z] for z in np.asarray(numbers).tolist()]
    lines = [
        f"{symbol} {x!r} {y!r} {z!r}\n"
        for symbol, (x, y, z) in zip(
            symbols, np.asarray(positions, dtype=float).tolist(), strict=True
        )
    ]
    file.write(f"{len(symbols)}\n{' '.join(words)}\n")
    file.writelines(lines)


def read_frames(file: TextIO) -> Iterator[Frame]:
    """Read the frames that `write_frame` wrote, with the same bits and types.

    Raises
    ------
    ValueError
        Where the file is cut short or is not of this form.
    """
    lines = iter(file)
    for head in lines:
        count = int(head)
        info: dict[str, Value] = {}
        raw: dict[str, str] = {}
        for key, quoted, bare in PAIR.findall(next(lines, "")):
            if key in RESERVED:
                raw[key] = quoted or bare
            else:
                info[key] = _value(quoted, bare)
        words = "".join(islice(lines, count)).split()
        if len(words) != 4 * count or RESERVED - set(raw):
            raise ValueError("a frame is cut short or was not written by defectpool")
        symbols = words[::4]
        del words[::4]
        # JSON's numbers: orjson finds the same bits as `float` in a third of the time
        values = np.array(orjson.loads(f"[{','.join(raw['Lattice'].split() + words)}]"), float)
        yield Frame(
            np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64),
            values[9:].reshape(-1, 3),
            values[:9].reshape(3, 3),
            tuple(word == "T" for word in raw["pbc"].split()),  # type: ignore[arg-type]
            info,
        )


def _text(value: Value) -> str:
    """Write a value so that ASE's reader finds the same type and bits."""
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "F"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if PLAIN.fullmatch(value) and not _misread(value):
        return value
    quoted = json.dumps(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"_JSON {quoted}"'


def _misread(text: str) -> bool:
    """Whether a reader would take the text for a number or a truth value."""
    if text in {"T", "F", "true", "false", "True", "False", "TRUE", "FALSE"}:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


@lru_cache(4096)  # most values are those of the frame before
def _value(quoted: str, bare: str) -> Value:
    if quoted:
        text = ESCAPED.sub(r"\1", quoted)
        return str(json.loads(text.removeprefix("_JSON ")))
    if bare in {"T", "F"}:
        return bare == "T"
    if not NUMBER.fullmatch(bare):
        return bare
    try:
        return int(bare)
    except ValueError:
        number = float(bare)
    return number if not math.isnan(number) else math.nan
