"""Side by side, on the same cells: the host's lattice and what else answers, with seconds.

Methods that are not installed are left out with a line: spglib's ladder of tolerances (in a
process of its own, for it may crash), MatID, doped's guess of a position, and, given the pristine
cell that the others do without, pymatgen's DefectSiteFinder and OVITO's Wigner-Seitz analysis.
A method answers "defective or pristine" and, if it can, a position.

    python tests/benchmarks/scan_methods.py --cells 120 --output results/benchmarks
"""

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from host_lattice import SAME_PLACE, Case, cells, monolayers, prototypes

from defectpool.lattice import analyze
from defectpool.lattice.geometry import shortest

Answer = tuple[bool | None, np.ndarray | None]  # defective or not, None: no answer; position
LADDER = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)  # Å; spglib crashed above 1


def lattice(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return what the host's lattice says."""
    finding = analyze(atoms)
    if finding.verdict == "undecided":
        return None, None
    place = np.array(finding.defects[0].position) if finding.defects else None
    return bool(finding.defects), place


SPGLIB = """
import json, sys, spglib
cell, scaled, numbers, ladder = json.load(sys.stdin)
best = len(numbers)
for tolerance in ladder:
    found = spglib.find_primitive((cell, scaled, numbers), symprec=tolerance)
    if found is not None:
        best = min(best, len(found[2]))
print(best)
"""


def spglib_ladder(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return defective unless a tolerance of the ladder finds a smaller cell."""
    data = [
        atoms.cell.array.tolist(),
        atoms.get_scaled_positions().tolist(),
        atoms.numbers.tolist(),
        LADDER,
    ]
    done = subprocess.run(
        [sys.executable, "-c", SPGLIB], input=json.dumps(data), capture_output=True, text=True
    )
    if done.returncode:
        return None, None
    return int(done.stdout) == len(atoms), None


def matid(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return defective if MatID's cell does not fill the structure evenly."""
    from matid.clustering import SBC

    clusters = SBC().get_clusters(atoms)
    if not clusters:
        return None, None
    largest = max(clusters, key=lambda cluster: len(cluster.indices))
    cell = largest.get_cell()
    whole = len(atoms) % len(cell) == 0 and len(largest.indices) == len(atoms)
    counts = np.array(sorted(np.unique(atoms.numbers, return_counts=True)[1]))
    parts = np.array(sorted(np.unique(cell.numbers, return_counts=True)[1]))
    even = len(counts) == len(parts) and len(set(counts / parts)) == 1
    return not (whole and even), None


def doped_guess(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return doped's guess: a position always, for a pristine cell too."""
    from doped.analysis import guess_defect_position
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = AseAtomsAdaptor.get_structure(atoms)
    return True, np.asarray(guess_defect_position(structure))


def defect_site_finder(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return pymatgen's answer, given the pristine cell: a position always."""
    from pymatgen.analysis.defects.finder import DefectSiteFinder
    from pymatgen.io.ase import AseAtomsAdaptor

    structures = [AseAtomsAdaptor.get_structure(a) for a in (atoms, pristine)]
    return True, DefectSiteFinder().get_defect_fpos(*structures) @ atoms.cell.array


def ovito_wigner_seitz(atoms: Atoms, pristine: Atoms) -> Answer:
    """Return OVITO's answer, given the pristine cell: sites not held by one of their species."""
    from ovito.io.ase import ase_to_ovito
    from ovito.modifiers import WignerSeitzAnalysisModifier
    from ovito.pipeline import Pipeline, StaticSource

    species = sorted(set(pristine.numbers.tolist()))
    species += sorted(set(atoms.numbers.tolist()) - set(species))  # types are numbered in order
    atoms, pristine = (
        a[np.argsort([species.index(z) for z in a.numbers])] for a in (atoms, pristine)
    )
    modifier = WignerSeitzAnalysisModifier(per_type_occupancies=True)
    modifier.reference = StaticSource(data=ase_to_ovito(pristine))
    pipeline = Pipeline(source=StaticSource(data=ase_to_ovito(atoms)))
    pipeline.modifiers.append(modifier)
    data = pipeline.compute()
    occupancy = np.array(data.particles["Occupancy"])
    occupancy = occupancy.reshape(len(occupancy), -1)
    types = np.array(data.particles.particle_types)
    own = occupancy[np.arange(len(types)), np.minimum(types, occupancy.shape[1]) - 1]
    wrong = np.flatnonzero((occupancy.sum(axis=1) != 1) | (own != 1))
    if not len(wrong):
        return False, None
    return True, np.array(data.particles.positions)[wrong[0]]


METHODS: dict[str, tuple[str, Callable[[Atoms, Atoms], Answer]]] = {
    "host's lattice": ("numpy", lattice),
    "spglib's ladder": ("spglib", spglib_ladder),
    "MatID": ("matid", matid),
    "doped's guess": ("doped", doped_guess),
    "DefectSiteFinder, given the reference": ("dscribe", defect_site_finder),
    "OVITO's Wigner-Seitz, given the reference": ("ovito", ovito_wigner_seitz),
}


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def right_place(case: Case, place: np.ndarray | None) -> bool:
    """Whether a place is within 1 Å of a defect."""
    if place is None:
        return False
    cell, pbc = case.atoms.cell.array, case.atoms.pbc
    offsets = [shortest(np.array(d[2]) - place, cell, pbc) for d in case.defects]
    return bool(min(np.linalg.norm(offset) for offset in offsets) < SAME_PLACE)


def measure(name: str, cases: list[Case]) -> dict:
    """Ask one method about all cells."""
    method = METHODS[name][1]
    row = dict.fromkeys(("answered", "found", "false", "site", "errors"), 0)
    start = time.perf_counter()
    for case in cases:
        try:
            defective, place = method(case.atoms, case.pristine)
        except Exception:  # whatever the method raises counts against it, and the table goes on
            row["errors"] += 1
            continue
        row["answered"] += defective is not None
        row["found"] += bool(defective) and bool(case.defects)
        row["false"] += bool(defective) and not case.defects
        row["site"] += bool(case.defects) and right_place(case, place)
    seconds = (time.perf_counter() - start) / len(cases)
    n_defective = sum(bool(case.defects) for case in cases)
    return {
        "method": name,
        "cells": len(cases),
        "answered": f"{100 * row['answered'] / len(cases):.1f}",
        "found": f"{100 * row['found'] / max(n_defective, 1):.1f}",
        "false": f"{100 * row['false'] / max(len(cases) - n_defective, 1):.1f}",
        "site": f"{100 * row['site'] / max(n_defective, 1):.1f}",
        "errors": row["errors"],
        "seconds": f"{seconds:.3f}",
    }


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=120, help="of each set")
    parser.add_argument("--methods", default="", help="only those whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tenth of the cells")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    count = max(options.cells // (10 if options.quick else 1), 6)
    built = list(prototypes().items())
    sets = {
        "C2DB": list(cells(monolayers(count, options.seed), options.seed, (3, 4))),
        "bulk": list(
            cells((built[i // 6 % len(built)] for i in range(count)), options.seed, (2, 3))
        ),
    }
    rows = []
    for name, (module, _) in METHODS.items():
        if options.methods and options.methods not in name:
            continue
        if not installed(module):
            print(f"{name}: left out, {module} is not installed", flush=True)
            continue
        for title, cases in sets.items():
            rows.append({"set": title, **measure(name, cases)})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if not rows:
        sys.exit("no method that was asked for is installed")
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "scan_methods.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
