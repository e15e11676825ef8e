"""Defective supercells: defectpool against pymatgen-analysis-defects, on the same hosts.

Writes results/benchmarks/structures.csv (defect, supercell, implementation, structures_per_second)
and prints the ratios. Both list all inequivalent defects of each host and build every one, in
one process on one thread, in turns; what is told is processor time, the shorter of two passes.
defectpool's structures are the defective supercells only, though it also builds the pristine ones
and pymatgen-analysis-defects does not. The interstitials of the two are not the same thing: those
of pymatgen-analysis-defects (Voronoi) include the vacuum.

    python tests/benchmarks/structures.py [folder for the csv] [hosts]

The whole campaign's structures, from hosts in memory to files, in one process:

    python tests/benchmarks/structures.py campaign [hosts]
"""

import csv
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from defectpool.config import StructuresSettings
from defectpool.materials import embedded
from defectpool.materials.host import Host
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.run_record import peak_memory_mib
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import read_structures, write_structures

ROOT = Path(__file__).resolve().parents[2]
DEFECTS = ("vacancy", "antisite", "substitution", "interstitial")
SUPERCELLS = ("2x2", "6x6")
SPECIES = ["H", "Li"]
SYMPREC = 0.1


def hosts(count: int) -> list[Host]:
    """Return hosts drawn from C2DB, where it is at hand, or else from the embedded monolayers."""
    shared = Path(os.environ.get("DEFECTPOOL_SHARED", ROOT.parent / "shared"))
    database = shared / "data" / "c2db" / "c2db.db"
    if not database.is_file():
        found = list(embedded.hosts())
        return random.Random(0).sample(found, min(count, len(found)))
    from ase.db import connect

    with connect(database) as source:
        ids = random.Random(0).sample(range(1, source.count() + 1), min(count, source.count()))
        rows = [source.get(id=number) for number in ids]
    return [Host(row.uid, row.toatoms(), row.formula, "C2DB") for row in rows]


def ours(chosen: list[Host], defect: str, supercell: str) -> int:
    """Build all defects of the hosts; how many there are."""
    settings = StructuresSettings(
        choose="all", symprec=SYMPREC, substitution=SPECIES, interstitial=SPECIES
    )
    return len(build_structures(chosen, defect, supercell, settings)[0]) // 2


def theirs(chosen: list[Host], defect: str, supercell: str) -> int:
    """Do the same with pymatgen-analysis-defects."""
    from pymatgen.analysis.defects import generators
    from pymatgen.io.ase import AseAtomsAdaptor

    n = int(supercell.split("x")[0])
    built = 0
    for host in chosen:
        structure = AseAtomsAdaptor.get_structure(host.atoms)
        match defect:
            case "vacancy":
                found = list(generators.VacancyGenerator(SYMPREC).get_defects(structure))
            case "antisite":
                found = list(generators.AntiSiteGenerator(SYMPREC).get_defects(structure))
            case "substitution":
                swap = {
                    element.symbol: [s for s in SPECIES if s not in structure.symbol_set]
                    for element in structure.elements
                }
                found = list(generators.SubstitutionGenerator(SYMPREC).get_defects(structure, swap))
            case _:
                generator = generators.VoronoiInterstitialGenerator()
                found = list(generator.get_defects(structure, SPECIES))
        for one in found:
            one.get_supercell_structure(sc_mat=np.diag([n, n, 1]))
            built += 1
    return built


def rate(build: Callable[[list[Host], str, str], int], *task: object, passes: int) -> float:
    """Structures a second of processor time, and how many there were."""
    times = []
    for _ in range(passes):
        start = time.process_time()
        built = build(*task)  # type: ignore[arg-type]
        times.append(time.process_time() - start)
    return built / min(times)


def feasible(host: Host) -> bool:
    """Whether pymatgen-analysis-defects finds interstitials: "can't find niggli" for many slabs."""
    try:
        return theirs([host], "interstitial", "1x1") > 0
    except ValueError:
        return False


def compare(folder: Path, count: int) -> None:
    """Measure both, write the table and print the ratios."""
    chosen = hosts(count)
    for build in (ours, theirs):
        build(chosen[:2], "vacancy", "2x2")  # imports and caches
    rows = []
    print(f"{len(chosen)} hosts from {chosen[0].source}; structures a second")
    for defect in DEFECTS:
        few = chosen
        if defect == "interstitial":
            few = [host for host in chosen[: max(3, count // 8)] if feasible(host)]
            tried = max(3, count // 8)
            print(f"pymatgen-analysis-defects finds interstitials in {len(few)} of {tried}")
        for supercell in SUPERCELLS:
            fast = rate(ours, few or chosen, defect, supercell, passes=2)
            rows.append((defect, supercell, "defectpool", f"{fast:.1f}"))
            if not few:
                print(f"{defect:12} {supercell} {fast:9.0f}")
                continue
            slow = rate(theirs, few, defect, supercell, passes=1)
            rows.append((defect, supercell, "pymatgen_analysis_defects", f"{slow:.1f}"))
            print(f"{defect:12} {supercell} {fast:9.0f} {slow:9.1f} {fast / slow:7.0f} x")
    with (
        replacing(folder / "structures.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["defect", "supercell", "implementation", "structures_per_second"])
        table.writerows(rows)


def campaign(count: int) -> None:
    """Build, write and read back one defect a host for every defect and supercell."""
    chosen = hosts(count)
    total = {"build": 0.0, "write": 0.0, "read": 0.0}
    size = number = 0
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "000.xyz.gz"
        for defect in DEFECTS:
            for supercell in SUPERCELLS:
                marks = [time.process_time()]
                structures, _ = build_structures(chosen, defect, supercell, StructuresSettings())
                marks.append(time.process_time())
                write_structures(path, structures)
                marks.append(time.process_time())
                number += sum(1 for _ in read_structures(path))
                marks.append(time.process_time())
                size += path.stat().st_size
                spent = np.diff(marks) / len(chosen) * 1e3
                print(f"{defect:12} {supercell} ms a host: build, write, read", spent.round(2))
                for name, seconds in zip(total, np.diff(marks), strict=True):
                    total[name] += float(seconds)
    print(f"{len(chosen)} hosts, {number} structures, {size / 1e6:.1f} MB, processor seconds:")
    print({name: round(seconds, 1) for name, seconds in total.items()})
    print(f"peak memory {peak_memory_mib():.0f} MiB")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["campaign"]:
        campaign(int(sys.argv[2]) if len(sys.argv) > 2 else 400)
    else:
        target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "benchmarks"
        compare(target, int(sys.argv[2]) if len(sys.argv) > 2 else 40)
