"""Shards of crystal graphs: flat arrays with offsets, in one HDF5 file.

One group a graph would take 75 times longer to read. A file is written under a temporary name and
gets its `complete` mark last, and a reader refuses what lacks it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import defectpool
from defectpool.config import GraphSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs.crystal_graph import Crystal, bin_distances, quotients
from defectpool.graphs.elements import feature_table, unknown_elements
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.memory import keep_memory

if TYPE_CHECKING:
    import h5py
    from torch_geometric.data import Data

    from defectpool.structures.structure_files import DefectStructure

FORMAT = "defectpool crystal graphs"
VERSION = 1

# Sites that are turned into graphs together: enough to spread the overhead of numpy, few enough to
# stay in the cache of the processor.
BATCH_SITES = 4_000

# Entries of an array that are compressed together.
CHUNK = 1 << 18

_PLACES = {
    "node_offset": ("graphs/node_offset", np.int64),
    "edge_offset": ("graphs/edge_offset", np.int64),
    "site_offset": ("graphs/site_offset", np.int64),
    "label": ("graphs/label", np.int8),
    "structure": ("graphs/structure", None),
    "pair": ("graphs/pair", None),
    "host": ("graphs/host", None),
    "formula": ("graphs/formula", None),
    "name": ("graphs/name", None),
    "defect_site": ("graphs/defect_site", np.int32),
    "defect_position": ("graphs/defect_position", np.float64),
    "atomic_number": ("nodes/atomic_number", np.uint8),
    "node_multiplicity": ("nodes/multiplicity", np.int32),
    "source": ("edges/source", np.int32),
    "target": ("edges/target", np.int32),
    "distance_bin": ("edges/distance", np.int32),
    "edge_multiplicity": ("edges/multiplicity", np.int32),
    "site_class": ("sites/class", np.int32),
    "site_position": ("sites/position", np.float32),
}
_OFFSETS = ("node_offset", "edge_offset", "site_offset")
_VECTORS = ("defect_position", "site_position")
_TEXTS = tuple(key for key, (_, kind) in _PLACES.items() if kind is None)


@dataclass(frozen=True)
class GraphSet:
    """Crystal graphs in flat arrays; graph i has the rows `offset[i]:offset[i + 1]`.

    The nodes of a graph are classes of sites that the network cannot tell apart (see
    `defectpool.graphs.compression`), or, without compression, the sites themselves with all
    multiplicities 1.

    Attributes
    ----------
    settings
        radius (Å), max_neighbors, ties, resolution (Å), compression, rounds.
    distances
        The distinct distances in Å [D], ascending, float64.
    node_offset, edge_offset, site_offset
        [G + 1] offsets of nodes, edges and sites.
    label
        [G] 1 defective, 0 pristine.
    structure, pair, host, formula, name
        [G] text: unique id, id shared by the twins, host, the host's formula, defect's name.
    defect_site
        [G] the defect atom among the graph's sites, -1 where there is none.
    defect_position
        [G, 3] where the defect is (or would be), Å.
    atomic_number, node_multiplicity
        [nodes] element, number of sites of the class.
    source, target
        [edges] nodes within the graph (local): target receives from source. Sorted by target.
    edge_distance
        [edges] index into `distances`.
    edge_multiplicity
        [edges] number of such neighbors that ONE site of the target's class has; in the full
        graph the edge stands `edge_multiplicity * node_multiplicity[target]` times.
    site_class
        [sites] node of each site (local).
    site_position
        [sites, 3] Å.
    """

    settings: dict[str, Any]
    distances: NDArray[np.float64]
    node_offset: NDArray[np.int64]
    edge_offset: NDArray[np.int64]
    site_offset: NDArray[np.int64]
    label: NDArray[np.int8]
    structure: NDArray[np.str_]
    pair: NDArray[np.str_]
    host: NDArray[np.str_]
    formula: NDArray[np.str_]
    name: NDArray[np.str_]
    defect_site: NDArray[np.int32]
    defect_position: NDArray[np.float64]
    atomic_number: NDArray[np.uint8]
    node_multiplicity: NDArray[np.int32]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    edge_distance: NDArray[np.int32]
    edge_multiplicity: NDArray[np.int32]
    site_class: NDArray[np.int32]
    site_position: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of graphs."""
        return len(self.label)


@dataclass(frozen=True)
class Counts:
    """What a shard holds: structures, their sites, and the nodes and edges that stand for them.

    `skipped` lists (structure, reason) of those left out.
    """

    structures: int
    sites: int
    nodes: int
    edges: int
    skipped: tuple[tuple[str, str], ...] = ()


def graph_set(
    structures: Iterable["DefectStructure"], settings: GraphSettings, rounds: int
) -> GraphSet:
    """Graphs of structures, in memory.

    Parameters
    ----------
    structures
        Defective and pristine structures. A pair with an element that has no features is left out.
    settings
        Cutoff, neighbors, ties, resolution, compression.
    rounds
        Number of convolutions for which the compression has to be exact.
    """
    arrays, _ = _arrays(structures, settings, rounds)
    return _assemble([arrays], _settings(settings, rounds))


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

    arrays, skipped = _arrays(structures, settings, rounds)
    counts = Counts(
        structures=len(arrays["label"]),
        sites=len(arrays["site_class"]),
        nodes=len(arrays["atomic_number"]),
        edges=len(arrays["source"]),
        skipped=skipped,
    )
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="earliest") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["defectpool"] = defectpool.__version__
        chosen = _settings(settings, rounds)
        file.attrs["settings"] = json.dumps(chosen, sort_keys=True)
        for key, value in chosen.items():
            file.attrs[key] = value
        for key in ("structures", "sites", "nodes", "edges"):
            file.attrs[key] = getattr(counts, key)
        for key, (place, _) in _PLACES.items():
            _write(file, place, arrays[key])
        file.flush()
        file.attrs["complete"] = True
    return counts


def read_shards(paths: Sequence[Path]) -> GraphSet:
    """Read shards and join their graphs, in the order given.

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
    return _assemble(parts, settings[0])


def to_data(graphs: GraphSet, index: int) -> "Data":
    """Graph `index` as a torch_geometric object.

    Returns
    -------
    torch_geometric.data.Data
        `x` [nodes, 92], `pos` [nodes, 3] Å (of each class's first site), `edge_index` [2, edges]
        (row 0 sends, row 1 receives), `edge_attr` [edges, 1] Å, `node_multiplicity` [nodes],
        `edge_multiplicity` [edges], `y` [1] label. Types float32 and int64.
    """
    import torch
    from torch_geometric.data import Data

    nodes = slice(*graphs.node_offset[index : index + 2])
    edges = slice(*graphs.edge_offset[index : index + 2])
    sites = slice(*graphs.site_offset[index : index + 2])
    _, first = np.unique(graphs.site_class[sites], return_index=True)
    pairs = np.stack([graphs.source[edges], graphs.target[edges]]).astype(np.int64)
    distance = graphs.distances[graphs.edge_distance[edges]]
    return Data(
        x=torch.from_numpy(feature_table()[graphs.atomic_number[nodes]]),
        pos=torch.from_numpy(graphs.site_position[sites][first]),
        edge_index=torch.from_numpy(pairs),
        edge_attr=torch.tensor(distance[:, None], dtype=torch.float32),
        node_multiplicity=torch.from_numpy(graphs.node_multiplicity[nodes].astype(np.int64)),
        edge_multiplicity=torch.from_numpy(graphs.edge_multiplicity[edges].astype(np.int64)),
        y=torch.tensor([graphs.label[index]], dtype=torch.float32),
    )


def _settings(settings: GraphSettings, rounds: int) -> dict[str, Any]:
    return {**settings.model_dump(mode="json"), "rounds": rounds}


def _batches(
    structures: Iterable["DefectStructure"], skipped: list[tuple[str, str]]
) -> Iterator[list["DefectStructure"]]:
    """Split structures into batches; leave out pairs of which one cannot become a graph."""
    batch: list[DefectStructure] = []
    sites = 0
    for _, group in groupby(structures, key=attrgetter("pair")):
        twins = list(group)
        unknown = sorted({z for twin in twins for z in unknown_elements(twin.atoms.numbers)})
        reason = f"no features for atomic numbers {unknown}" if unknown else ""
        if not all(len(twin.atoms) for twin in twins):
            reason = "no atoms are left"
        if reason:
            skipped.extend((twin.structure, reason) for twin in twins)
            continue
        batch.extend(twins)
        sites += sum(len(twin.atoms) for twin in twins)
        if sites >= BATCH_SITES:
            yield batch
            batch, sites = [], 0
    if batch:
        yield batch


def _arrays(
    structures: Iterable["DefectStructure"], settings: GraphSettings, rounds: int
) -> tuple[dict[str, NDArray[Any]], tuple[tuple[str, str], ...]]:
    """All arrays of a shard, and what was skipped."""
    keep_memory()
    skipped: list[tuple[str, str]] = []
    parts = [_batch_arrays(batch, settings, rounds) for batch in _batches(structures, skipped)]
    return _join(parts), tuple(skipped)


def _batch_arrays(
    structures: Sequence["DefectStructure"], settings: GraphSettings, rounds: int
) -> dict[str, NDArray[Any]]:
    crystals = [
        Crystal(
            numbers=structure.atoms.numbers,
            positions=structure.atoms.positions,
            cell=structure.atoms.cell.array,
            pbc=structure.atoms.pbc.astype(np.int64),
        )
        for structure in structures
    ]
    quotient = quotients(
        crystals,
        settings.radius,
        settings.max_neighbors,
        settings.ties,
        settings.resolution,
        rounds if settings.compression else None,
    )
    sites = np.array([len(crystal.numbers) for crystal in crystals])
    site_offset = np.concatenate([[0], np.cumsum(sites)])
    node_offset = np.searchsorted(quotient.representative, site_offset)
    edge_offset = np.searchsorted(quotient.target, node_offset)
    edges = np.diff(edge_offset)
    first_of_edge = np.repeat(node_offset[:-1], edges)
    return {
        "node_offset": node_offset,
        "edge_offset": edge_offset,
        "site_offset": site_offset,
        "label": np.array([structure.label for structure in structures]),
        **{
            key: np.array([getattr(structure, key) for structure in structures], dtype=np.str_)
            for key in _TEXTS
        },
        "defect_site": np.array([structure.defect_site for structure in structures]),
        "defect_position": np.array([structure.position for structure in structures]),
        "atomic_number": np.concatenate([crystal.numbers for crystal in crystals])[
            quotient.representative
        ],
        "node_multiplicity": quotient.node_multiplicity,
        "source": quotient.source - first_of_edge,
        "target": quotient.target - first_of_edge,
        "distance_bin": quotient.bin,
        "edge_multiplicity": quotient.edge_multiplicity,
        "site_class": quotient.site_class - np.repeat(node_offset[:-1], sites),
        "site_position": np.concatenate([crystal.positions for crystal in crystals]),
    }


def _join(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Concatenate the arrays of several sets of graphs, offsets moved on; none are an empty set."""
    joined = {}
    for key, (_, kind) in _PLACES.items():
        arrays = [part[key] for part in parts]
        if key in _OFFSETS:
            lengths = [np.diff(offsets) for offsets in arrays]
            joined[key] = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
        elif arrays:
            values = np.concatenate(arrays)
            joined[key] = values if kind is None else values.astype(kind, copy=False)
        else:
            shape = (0, 3) if key in _VECTORS else (0,)
            joined[key] = np.empty(shape, dtype="U1" if kind is None else kind)
    return joined


def _assemble(parts: Sequence[dict[str, NDArray[Any]]], settings: dict[str, Any]) -> GraphSet:
    arrays = _join(parts)
    bins, index = np.unique(arrays.pop("distance_bin"), return_inverse=True)
    return GraphSet(
        settings=settings,
        distances=bin_distances(bins, settings["resolution"]),
        edge_distance=index.astype(np.int32),
        **arrays,
    )


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


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and settings of one shard, checked."""
    import h5py

    again = "delete it and run again"
    if not path.is_file():
        raise DefectpoolError(f"{path}: there is no such graph shard")
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT:
                raise DefectpoolError(f"{path} is no shard of crystal graphs; {again}")
            if attributes.get("version") != VERSION:
                raise DefectpoolError(
                    f"{path} has version {attributes.get('version')} of the shard format, this "
                    f"program reads {VERSION}; {again}"
                )
            if not attributes.get("complete", False):
                raise DefectpoolError(f"{path} is incomplete: its writer was stopped; {again}")
            settings = json.loads(attributes["settings"])
            if any(attributes[key] != value for key, value in settings.items()):
                raise ValueError("its settings contradict each other")
            arrays = {
                key: file[place].asstr()[:].astype(np.str_) if kind is None else file[place][:]
                for key, (place, kind) in _PLACES.items()
            }
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise DefectpoolError(f"{path} is damaged ({error}); {again}") from None
    wrong = _inconsistency(arrays, attributes)
    if wrong:
        raise DefectpoolError(f"{path} is damaged ({wrong}); {again}")
    return arrays, settings


def _inconsistency(arrays: dict[str, NDArray[Any]], attributes: dict[str, Any]) -> str:
    """Say what does not fit together in a shard, "" if all does."""
    for key, (_, kind) in _PLACES.items():
        if kind is not None and arrays[key].dtype != np.dtype(kind):
            return f"{key} has type {arrays[key].dtype}"
        if arrays[key].shape[1:] != ((3,) if key in _VECTORS else ()):
            return f"{key} has shape {arrays[key].shape}"
    counted = {
        "structures": ("graphs", arrays["label"]),
        "nodes": ("nodes", arrays["atomic_number"]),
        "edges": ("edges", arrays["source"]),
        "sites": ("sites", arrays["site_class"]),
    }
    for count, (group, values) in counted.items():
        if attributes.get(count) != len(values):
            return f"{len(values)} {count} where {attributes.get(count)} were written"
        for key, (place, _) in _PLACES.items():
            extra = 1 if key in _OFFSETS else 0
            if place.startswith(group + "/") and len(arrays[key]) != len(values) + extra:
                return f"{len(arrays[key])} entries in {place} for {len(values)} {count}"
    for key, values in (
        ("node_offset", arrays["atomic_number"]),
        ("edge_offset", arrays["source"]),
        ("site_offset", arrays["site_class"]),
    ):
        offsets = arrays[key]
        if offsets[0] != 0 or offsets[-1] != len(values) or np.any(np.diff(offsets) < 0):
            return f"{key} does not ascend from 0 to {len(values)}"
    nodes = np.diff(arrays["node_offset"])
    for key, offset in (
        ("source", "edge_offset"),
        ("target", "edge_offset"),
        ("site_class", "site_offset"),
    ):
        bound = np.repeat(nodes, np.diff(arrays[offset]))
        if np.any(arrays[key] < 0) or np.any(arrays[key] >= bound):
            return f"{key} points outside its graph"
    return ""
