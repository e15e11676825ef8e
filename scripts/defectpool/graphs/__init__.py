"""Crystal graphs: from structures to what the network reads."""

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure
    from torch_geometric.data import Data

    from defectpool.graphs.crystal_graph import Crystal


def graph(
    structure: "Atoms | Structure",
    radius: float = 8.0,
    max_neighbors: int | None = 12,
    shells: Literal["truncated", "complete"] = "truncated",
) -> "Data":
    """Crystal graph of a structure, periodic along the cell vectors that the structure says.

    Parameters
    ----------
    structure
        ASE `Atoms` or a pymatgen `Structure`, ordered.
    radius
        Cutoff radius in Å.
    max_neighbors
        Nearest neighbors of each site. A site that has fewer within `radius` keeps those. None
        for all within `radius`.
    shells
        What becomes of neighbors as far away as the last one wanted: "truncated" keeps exactly
        `max_neighbors`, in an order that depends on the neighbors' environments and not on the
        order of the atoms (`defectpool.graphs.crystal_graph.truncate`); "complete" keeps all of
        them.

    Returns
    -------
    torch_geometric.data.Data
        `x` [sites, 92] element features, `pos` [sites, 3] in Å, `edge_index` [2, edges] (row 0
        the neighbor that sends, row 1 the site that receives; sorted by row 1, then distance),
        `edge_attr` [edges, 1] distance in Å, not rounded. Types float32 and int64.

    Raises
    ------
    DefectpoolError
        If the structure has disordered sites or elements without features.
    """
    from defectpool.graphs.crystal_graph import crystal

    return _data(crystal(structure), radius, max_neighbors, shells)


def cif_to_graph(
    path: str | os.PathLike[str],
    radius: float = 8.0,
    max_neighbors: int | None = 12,
    shells: Literal["truncated", "complete"] = "truncated",
) -> "Data":
    """Crystal graph of a structure in a CIF file, periodic along all three cell vectors.

    Parameters
    ----------
    path
        CIF file with one ordered crystal structure.
    radius, max_neighbors, shells
        As in `graph`.

    Returns
    -------
    torch_geometric.data.Data
        As `graph` returns.

    Raises
    ------
    DefectpoolError
        If the file is missing, is no CIF, or has disordered sites or elements without features.
    """
    from defectpool.graphs.crystal_graph import read_cif

    return _data(read_cif(path), radius, max_neighbors, shells)


def _data(
    crystal: "Crystal",
    radius: float,
    max_neighbors: int | None,
    shells: Literal["truncated", "complete"],
) -> "Data":
    import numpy as np
    import torch
    from torch_geometric.data import Data

    from defectpool.config import GraphSettings
    from defectpool.graphs.crystal_graph import edges_of
    from defectpool.graphs.elements import feature_table

    distance_tolerance = GraphSettings().distance_tolerance
    edges = edges_of([crystal], radius, max_neighbors, shells, distance_tolerance)
    order = np.lexsort((edges.source, edges.distance, edges.target))
    return Data(
        x=torch.from_numpy(feature_table()[crystal.numbers]),
        pos=torch.tensor(crystal.positions, dtype=torch.float32),
        edge_index=torch.from_numpy(np.stack([edges.source, edges.target])[:, order]),
        edge_attr=torch.tensor(edges.distance[order, None], dtype=torch.float32),
    )
