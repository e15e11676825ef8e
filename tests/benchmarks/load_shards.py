"""Loading graphs: shards of flat arrays against one HDF5 group a graph and pickled Data objects.

Writes results/benchmarks/load_shards.csv (supercell, implementation, ms_per_graph,
bytes_per_graph) and prints the ratios; processor time of the shortest of three passes.

    python tests/benchmarks/load_shards.py [folder for the csv]

implementation        what is read
defectpool            a shard as the campaign writes it, compressed graphs
defectpool_full       the same with every site its own node
group_per_graph       the arrays of the compressed graphs, one HDF5 group for each graph
pickled_data          a list of torch_geometric Data objects, by torch.load
"""

import csv
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from structure_to_graph import ROOT, hosts, shortest, vacancies

from defectpool.config import GraphSettings
from defectpool.graphs.graph_set import GraphSet, to_data
from defectpool.graphs.hdf5 import read_shards, write_shard
from defectpool.runtime.atomic_write import replacing

SUPERCELLS = ("2x2", "6x6", "12x12")
HOSTS = 150
NODES = ("atomic_number", "node_multiplicity")
EDGES = ("source", "target", "edge_distance", "edge_multiplicity")
SITES = ("site_class", "site_position")


def write_groups(path: Path, graphs: GraphSet) -> None:
    """Write the arrays of each graph into a group of its own."""
    with h5py.File(path, "w") as file:
        for i in range(len(graphs)):
            group = file.create_group(f"{i:06d}")
            group.attrs["structure"] = str(graphs.structure[i])
            for names, offset in (
                (NODES, graphs.node_offset),
                (EDGES, graphs.edge_offset),
                (SITES, graphs.site_offset),
            ):
                for name in names:
                    values = getattr(graphs, name)[offset[i] : offset[i + 1]]
                    group.create_dataset(
                        name, data=values, compression="gzip", compression_opts=4, shuffle=True
                    )


def read_groups(path: Path) -> list[dict[str, np.ndarray]]:
    """Read what `write_groups` wrote."""
    with h5py.File(path, "r") as file:
        return [
            {name: file[key][name][:] for name in (*NODES, *EDGES, *SITES)} for key in sorted(file)
        ]


def main() -> None:
    """Measure all supercells, write the table and print it with ratios."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "benchmarks"
    torch.set_num_threads(1)
    chosen = hosts(HOSTS)
    rows = []
    print(f"vacancy pairs of {len(chosen)} hosts from {chosen[0].source}")
    for supercell in SUPERCELLS:
        structures = vacancies(supercell, chosen)
        with tempfile.TemporaryDirectory() as scratch:
            small, full, groups, pickled = (
                Path(scratch) / name for name in ("a.h5", "b.h5", "c.h5", "d.pt")
            )
            write_shard(small, structures, GraphSettings(), rounds=3)
            write_shard(full, structures, GraphSettings(compression=False), rounds=3)
            graphs = read_shards([small])
            write_groups(groups, graphs)
            torch.save([to_data(graphs, i) for i in range(len(graphs))], pickled)
            files = {
                "defectpool": small,
                "defectpool_full": full,
                "group_per_graph": groups,
                "pickled_data": pickled,
            }
            times = shortest(
                {
                    "defectpool": lambda: read_shards([small]),  # noqa: B023
                    "defectpool_full": lambda: read_shards([full]),  # noqa: B023
                    "group_per_graph": lambda: read_groups(groups),  # noqa: B023
                    "pickled_data": lambda: torch.load(pickled, weights_only=False),  # noqa: B023
                }
            )
            for name, seconds in times.items():
                each = 1e3 * seconds / len(structures)
                size = files[name].stat().st_size / len(structures)
                ratio = seconds / times["defectpool"]
                rows.append((supercell, name, f"{each:.5f}", f"{size:.0f}"))
                print(f"{supercell:>6} {name:16} {each:9.4f} ms {size:8.0f} bytes {ratio:7.1f} x")
    with (
        replacing(folder / "load_shards.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["supercell", "implementation", "ms_per_graph", "bytes_per_graph"])
        table.writerows(rows)


if __name__ == "__main__":
    main()
