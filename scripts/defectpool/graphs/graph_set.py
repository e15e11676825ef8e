"""Sets of crystal graphs in flat arrays, made from structures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.config import GraphSettings
from defectpool.graphs.crystal_graph import Crystal, bin_distances, quotients
from defectpool.graphs.disk_array import DiskArray
from defectpool.graphs.elements import feature_table, unknown_elements
from defectpool.runtime.memory import keep_memory
from defectpool.structures.defect_labels import code_of, site_labels

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from defectpool.structures.structure_files import DefectStructure

# Sites that are turned into graphs together: enough to spread the overhead of numpy, few enough to
# stay in the cache of the processor.
BATCH_SITES = 4_000

# Edges that are handled together where all of them may not fit into memory.
PIECE = 1 << 18

# Arrays of a set of graphs and their types; None for text.
TYPES: dict[str, Any] = {
    "node_offset": np.int64,
    "edge_offset": np.int64,
    "site_offset": np.int64,
    "defect_offset": np.int64,
    "label": np.int8,
    "structure": None,
    "pair": None,
    "host": None,
    "formula": None,
    "name": None,
    "defect_site": np.int32,
    "defect_position": np.float64,
    "atomic_number": np.uint8,
    "node_multiplicity": np.int32,
    "source": np.int32,
    "target": np.int32,
    "distance_bin": np.int32,
    "edge_multiplicity": np.int32,
    "site_class": np.int32,
    "site_position": np.float32,
    "site_label": np.int8,
    "defect_type": np.int8,
    "defect_name": None,
    "ideal_position": np.float64,
}
OFFSETS = ("node_offset", "edge_offset", "site_offset", "defect_offset")
VECTORS = ("defect_position", "site_position", "ideal_position")
TEXTS = ("structure", "pair", "host", "formula", "name")
EDGES = ("source", "target", "distance_bin", "edge_multiplicity")

Arrays = dict[str, NDArray[Any]]
EdgeArray = NDArray[np.int32] | DiskArray


@dataclass(frozen=True)
class GraphSet:
    """Crystal graphs in flat arrays; graph i has the rows `offset[i]:offset[i + 1]`.

    The nodes of a graph are classes of sites that the network cannot tell apart (see
    `defectpool.graphs.compression`), or, without compression, the sites themselves with all
    multiplicities 1. Arrays of edges may lie on disk (`defectpool.graphs.disk_array`): then only
    slices of them are read.

    Attributes
    ----------
    settings
        radius (Å), max_neighbors, shells, distance_tolerance (Å), compression, rounds.
    distances
        The distinct distances in Å [D], ascending, float64.
    node_offset, edge_offset, site_offset, defect_offset
        [G + 1] offsets of nodes, edges, sites and defects.
    label
        [G] 1 defective, 0 pristine.
    structure, pair, host, formula, name
        [G] text: unique id, id shared by a defective and its pristine supercell, host, the host's
        formula, defect's name.
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
    site_label
        [sites] 0 pristine, 1 neighbor of a vacancy, 2 antisite, 3 substitution, 4 interstitial.
    defect_type
        [defects] 1 vacancy, 2 antisite, 3 substitution, 4 interstitial.
    defect_name
        [defects] text, as pymatgen writes it: v_Mo, S_Mo, Li_i.
    ideal_position
        [defects, 3] Å, before atoms are displaced.
    """

    settings: dict[str, Any]
    distances: NDArray[np.float64]
    node_offset: NDArray[np.int64]
    edge_offset: NDArray[np.int64]
    site_offset: NDArray[np.int64]
    defect_offset: NDArray[np.int64]
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
    source: EdgeArray
    target: EdgeArray
    edge_distance: EdgeArray
    edge_multiplicity: EdgeArray
    site_class: NDArray[np.int32]
    site_position: NDArray[np.float32]
    site_label: NDArray[np.int8]
    defect_type: NDArray[np.int8]
    defect_name: NDArray[np.str_]
    ideal_position: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of graphs."""
        return len(self.label)

    @property
    def on_disk(self) -> bool:
        """Whether the arrays of edges lie on disk."""
        return isinstance(self.source, DiskArray)


def graph_set(
    structures: Iterable["DefectStructure"], settings: GraphSettings, rounds: int
) -> GraphSet:
    """Graphs of structures, in memory.

    Parameters
    ----------
    structures
        Defective and pristine structures. A pair with an element that has no features is left out.
    settings
        Cutoff, neighbors, shells, distance_tolerance, compression.
    rounds
        Number of convolutions for which the compression has to be exact.
    """
    arrays, _ = arrays_of(structures, settings, rounds)
    return assemble(arrays, settings_of(settings, rounds))


def arrays_of(
    structures: Iterable["DefectStructure"], settings: GraphSettings, rounds: int
) -> tuple[Arrays, tuple[tuple[str, str], ...]]:
    """All arrays of a shard, and what was skipped."""
    keep_memory()
    skipped: list[tuple[str, str]] = []
    parts = [_batch_arrays(batch, settings, rounds) for batch in _batches(structures, skipped)]
    return join(parts), tuple(skipped)


def _batches(
    structures: Iterable["DefectStructure"], skipped: list[tuple[str, str]]
) -> Iterator[list["DefectStructure"]]:
    """Split structures into batches; leave out pairs of which one cannot become a graph."""
    batch: list[DefectStructure] = []
    sites = 0
    for _, group in groupby(structures, key=attrgetter("pair")):
        pair = list(group)
        unknown = sorted({z for one in pair for z in unknown_elements(one.atoms.numbers)})
        reason = f"no features for atomic numbers {unknown}" if unknown else ""
        if not all(len(one.atoms) for one in pair):
            reason = "no atoms are left"
        if reason:
            skipped.extend((one.structure, reason) for one in pair)
            continue
        batch.extend(pair)
        sites += sum(len(one.atoms) for one in pair)
        if sites >= BATCH_SITES:
            yield batch
            batch, sites = [], 0
    if batch:
        yield batch


def _batch_arrays(
    structures: Sequence["DefectStructure"], settings: GraphSettings, rounds: int
) -> Arrays:
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
        settings.shells,
        settings.distance_tolerance,
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
            for key in TEXTS
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
        **_label_arrays(structures),
    }


def _label_arrays(structures: Sequence["DefectStructure"]) -> Arrays:
    """Labels of all sites, and the list of all defects."""
    defects = [structure.defects for structure in structures]
    listed = [defect for found in defects for defect in found]
    sites = [
        site_labels(len(structure.atoms), found)
        for structure, found in zip(structures, defects, strict=True)
    ]
    return {
        "site_label": np.concatenate(sites),
        "defect_offset": np.cumsum([0, *map(len, defects)]),
        "defect_type": np.array([code_of(defect) for defect in listed], dtype=np.int8),
        "defect_name": np.array([defect.name for defect in listed], dtype=np.str_),
        "ideal_position": np.array([defect.position for defect in listed]).reshape(-1, 3),
    }


def join(parts: Sequence[Arrays]) -> Arrays:
    """Concatenate the arrays of several sets of graphs, offsets moved on; none are an empty set."""
    return {key: joined(key, [part[key] for part in parts]) for key in TYPES}


def joined(key: str, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate one array of several sets of graphs."""
    dtype = TYPES[key]
    if key in OFFSETS:
        lengths = [np.diff(offsets) for offsets in arrays]
        return np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
    if not arrays:
        return np.empty((0, 3) if key in VECTORS else 0, dtype="U1" if dtype is None else dtype)
    values = np.concatenate(arrays)
    return values if dtype is None else values.astype(dtype, copy=False)


def assemble(arrays: dict[str, Any], settings: dict[str, Any]) -> GraphSet:
    """Set of graphs of joined arrays; the bins of distances are numbered in place."""
    index = arrays.pop("distance_bin")
    bins: NDArray[Any] = np.empty(0, dtype=np.int32)
    for rows in pieces(len(index)):
        bins = np.union1d(bins, index[rows])
    for rows in pieces(len(index)):
        index[rows] = np.searchsorted(bins, index[rows])
    return GraphSet(
        settings=settings,
        distances=bin_distances(bins, settings["distance_tolerance"]),
        edge_distance=index,
        **arrays,
    )


def pieces(entries: int) -> Iterator[slice]:
    """Slices of so many entries at most that none takes much memory."""
    for begin in range(0, entries, PIECE):
        yield slice(begin, min(begin + PIECE, entries))


def pieces_of_graphs(edge_offset: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and end of runs of whole graphs whose edges take little memory."""
    first = 0
    while first < len(edge_offset) - 1:
        fitting = int(np.searchsorted(edge_offset, edge_offset[first] + PIECE, side="right")) - 1
        yield first, (end := max(fitting, first + 1))
        first = end


def edges_of_nodes(graphs: GraphSet) -> NDArray[np.int64]:
    """Number of edges that each node receives, [nodes]."""
    found = np.zeros(len(graphs.atomic_number), dtype=np.int64)
    for first, end in pieces_of_graphs(graphs.edge_offset):
        nodes, edges = graphs.node_offset[first : end + 1], graphs.edge_offset[first : end + 1]
        target = graphs.target[edges[0] : edges[-1]] + np.repeat(nodes[:-1], np.diff(edges))
        found[nodes[0] : nodes[-1]] = np.bincount(target - nodes[0], minlength=np.ptp(nodes))
    return found


def settings_of(settings: GraphSettings, rounds: int) -> dict[str, Any]:
    """Return what a set of graphs records of its settings."""
    return {**settings.model_dump(mode="json"), "rounds": rounds}


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
