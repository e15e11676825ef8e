"""Shards of crystal graphs: flat arrays with offsets, in one HDF5 file.

One group a graph would take 75 times longer to read. A file is written under a temporary name and
gets its `complete` mark last, and a reader refuses a file without it.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import defectpool
from defectpool.config import GraphSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs.disk_array import DiskArray
from defectpool.graphs.graph_set import (
    EDGES,
    OFFSETS,
    TYPES,
    VECTORS,
    Arrays,
    EdgeArray,
    GraphSet,
    arrays_of,
    assemble,
    joined,
    pieces_of_graphs,
    settings_of,
)
from defectpool.runtime.atomic_write import write_bytes
from defectpool.runtime.disk import reading_error

if TYPE_CHECKING:
    import h5py

    from defectpool.structures.structure_files import DefectStructure

FORMAT = "defectpool crystal graphs"
VERSION = 3

# Entries of an array that are compressed together.
CHUNK = 1 << 18

_AGAIN = "delete it and run again"

_PLACES = {
    "node_offset": "graphs/node_offset",
    "edge_offset": "graphs/edge_offset",
    "site_offset": "graphs/site_offset",
    "defect_offset": "graphs/defect_offset",
    "label": "graphs/label",
    "structure": "graphs/structure",
    "pair": "graphs/pair",
    "host": "graphs/host",
    "formula": "graphs/formula",
    "name": "graphs/name",
    "defect_site": "graphs/defect_site",
    "defect_position": "graphs/defect_position",
    "atomic_number": "nodes/atomic_number",
    "node_multiplicity": "nodes/multiplicity",
    "source": "edges/source",
    "target": "edges/target",
    "distance_bin": "edges/distance",
    "edge_multiplicity": "edges/multiplicity",
    "site_class": "sites/class",
    "site_position": "sites/position",
    "site_label": "sites/label",
    "defect_type": "defects/type",
    "defect_name": "defects/name",
    "ideal_position": "defects/position",
}


@dataclass(frozen=True)
class Counts:
    """What a shard holds: structures, their sites and defects, and the nodes and edges of graphs.

    `skipped` lists (structure, reason) of those left out.
    """

    structures: int
    sites: int
    nodes: int
    edges: int
    defects: int
    skipped: tuple[tuple[str, str], ...] = ()


def write_shard(
    path: Path, structures: Iterable["DefectStructure"], settings: GraphSettings, rounds: int
) -> Counts:
    """Write the graphs of structures to a file; the same input gives the same bytes.

    Parameters
    ----------
    path
        HDF5 file to write.
    structures, settings, rounds
        As in `graph_set`.
    """
    import h5py

    arrays, skipped = arrays_of(structures, settings, rounds)
    counts = Counts(
        structures=len(arrays["label"]),
        sites=len(arrays["site_class"]),
        nodes=len(arrays["atomic_number"]),
        edges=len(arrays["source"]),
        defects=len(arrays["defect_type"]),
        skipped=skipped,
    )
    # In memory first: HDF5 crashes when it closes a file on a full disk.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["defectpool"] = defectpool.__version__
        chosen = settings_of(settings, rounds)
        file.attrs["settings"] = json.dumps(chosen, sort_keys=True)
        for key, value in chosen.items():
            if value is not None:
                file.attrs[key] = value
        for key in ("structures", "sites", "nodes", "edges", "defects"):
            file.attrs[key] = getattr(counts, key)
        for key, place in _PLACES.items():
            _write(file, place, arrays[key])
        file.flush()
        file.attrs["complete"] = True
    write_bytes(path, buffer.getvalue())
    return counts


def read_shards(
    paths: Sequence[Path], memory: int | None = None, scratch: Path | None = None
) -> GraphSet:
    """Read shards and join their graphs, in the order given.

    Parameters
    ----------
    paths
        HDF5 files.
    memory
        Bytes that the arrays of edges may take in memory; beyond, they are put on disk. None for
        any number.
    scratch
        Folder for what is put on disk.

    Raises
    ------
    DefectpoolError
        Names the file that is missing, damaged, incomplete or of another version, or that was
        made with other settings than the first.
    """
    if not paths:
        raise DefectpoolError("there are no graph shards to read")
    parts, settings = [], []
    for path in paths:
        arrays, chosen = _read(Path(path))
        parts.append(arrays)
        settings.append(chosen)
        if chosen != settings[0]:
            raise DefectpoolError(
                f"{path} was made with other graph settings than {paths[0]} "
                f"({chosen} against {settings[0]}); delete both and run again"
            )
    arrays = {key: joined(key, [part[key] for part in parts]) for key in parts[0]}
    edges = _room_for_edges(int(arrays["edge_offset"][-1]), memory, scratch)
    begin = 0
    for path, part in zip(paths, parts, strict=True):
        for piece in _edges(Path(path), part):
            end = begin + len(piece["source"])
            for key, values in piece.items():
                edges[key][begin:end] = values
            begin = end
    return assemble(arrays | edges, settings[0])


def _room_for_edges(count: int, memory: int | None, scratch: Path | None) -> dict[str, EdgeArray]:
    """Arrays of edges to be filled: in memory as far as they may take it, else on disk."""
    needed = count * sum(np.dtype(TYPES[key]).itemsize for key in EDGES)
    if memory is None or scratch is None or needed <= memory:
        return {key: np.empty(count, TYPES[key]) for key in EDGES}
    return {key: DiskArray(count, TYPES[key], scratch) for key in EDGES}


def _write(file: "h5py.File", place: str, values: NDArray[Any]) -> None:
    """Write one array: compressed, in few chunks, without a time stamp."""
    if values.dtype.kind == "U":
        import h5py

        encoded = np.char.encode(values, "utf-8")
        width = max(1, encoded.dtype.itemsize)
        values = encoded.astype(h5py.string_dtype("utf-8", width))
    filters: dict[str, Any] = {}
    if values.size:
        chunk = (min(len(values), CHUNK), *values.shape[1:])
        filters = {"chunks": chunk, "compression": "gzip", "compression_opts": 4, "shuffle": True}
    file.create_dataset(place, data=values, track_times=False, **filters)


@contextmanager
def _reading(path: Path) -> Iterator["h5py.File"]:
    """Open a shard, checked as far as its attributes go; what is wrong names it."""
    import h5py

    if not path.is_file():
        raise DefectpoolError(f"{path}: there is no such graph shard")
    try:
        # chunks lie across the pieces of whole graphs that are read, and are kept for the next one
        with h5py.File(path, "r", rdcc_nbytes=16 * CHUNK) as file:
            if file.attrs.get("format") != FORMAT:
                raise DefectpoolError(f"{path} is no shard of crystal graphs; {_AGAIN}")
            if file.attrs.get("version") != VERSION:
                raise DefectpoolError(
                    f"{path} has version {file.attrs.get('version')} of the shard format, this "
                    f"program reads {VERSION}; {_AGAIN}"
                )
            if not file.attrs.get("complete", False):
                raise DefectpoolError(f"{path} is incomplete: its writer was stopped; {_AGAIN}")
            yield file
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        damaged = DefectpoolError(f"{path} is damaged ({error}); {_AGAIN}")
        raise reading_error(error, path) or damaged from None


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Settings and arrays of one shard but those of edges, checked."""
    with _reading(path) as file:
        attributes = dict(file.attrs)
        settings: dict[str, Any] = json.loads(attributes["settings"])
        if any(attributes.get(key) != value for key, value in settings.items()):
            raise ValueError("its settings contradict each other")
        edges = {key: file[_PLACES[key]] for key in EDGES}
        arrays = {
            key: file[place].asstr()[:].astype(np.str_) if TYPES[key] is None else file[place][:]
            for key, place in _PLACES.items()
            if key not in EDGES
        }
        if wrong := _inconsistency(arrays | edges, attributes):
            raise ValueError(wrong)
    return arrays, settings


def _edges(path: Path, arrays: Arrays) -> Iterator[Arrays]:
    """Arrays of the edges of one shard, checked, some graphs at a time."""
    nodes = np.diff(arrays["node_offset"])
    with _reading(path) as file:
        for first, end in pieces_of_graphs(arrays["edge_offset"]):
            offset = arrays["edge_offset"][first : end + 1]
            piece = {key: file[_PLACES[key]][offset[0] : offset[-1]] for key in EDGES}
            for key in ("source", "target"):
                if not _inside(piece[key], nodes[first:end], offset):
                    raise ValueError(f"{key} points outside its graph")
            yield piece


def _inconsistency(arrays: Arrays, attributes: dict[str, Any]) -> str:
    """Say what does not fit together in a shard, "" if all does."""
    for key, dtype in TYPES.items():
        if dtype is not None and arrays[key].dtype != np.dtype(dtype):
            return f"{key} has type {arrays[key].dtype}"
        if arrays[key].shape[1:] != ((3,) if key in VECTORS else ()):
            return f"{key} has shape {arrays[key].shape}"
    counted = {
        "structures": ("graphs", arrays["label"]),
        "nodes": ("nodes", arrays["atomic_number"]),
        "edges": ("edges", arrays["source"]),
        "sites": ("sites", arrays["site_class"]),
        "defects": ("defects", arrays["defect_type"]),
    }
    for count, (group, values) in counted.items():
        if attributes.get(count) != len(values):
            return f"{len(values)} {count} where {attributes.get(count)} were written"
        for key, place in _PLACES.items():
            extra = 1 if key in OFFSETS else 0
            if place.startswith(group + "/") and len(arrays[key]) != len(values) + extra:
                return f"{len(arrays[key])} entries in {place} for {len(values)} {count}"
    for key, values in (
        ("node_offset", arrays["atomic_number"]),
        ("edge_offset", arrays["source"]),
        ("site_offset", arrays["site_class"]),
        ("defect_offset", arrays["defect_type"]),
    ):
        offsets = arrays[key]
        if offsets[0] != 0 or offsets[-1] != len(values) or np.any(np.diff(offsets) < 0):
            return f"{key} does not ascend from 0 to {len(values)}"
    if not _inside(arrays["site_class"], np.diff(arrays["node_offset"]), arrays["site_offset"]):
        return "site_class points outside its graph"
    return ""


def _inside(numbers: NDArray[Any], nodes: NDArray[np.int64], offset: NDArray[np.int64]) -> bool:
    """Whether all numbers of nodes are those of their graph."""
    bound = np.repeat(nodes, np.diff(offset))
    return not (np.any(numbers < 0) or np.any(numbers >= bound))
