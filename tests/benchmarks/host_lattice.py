"""Defects found without a reference: C2DB monolayers, bulk prototypes and real cells.

Supercells with one defect, a pair or none, every atom displaced, are handed to
`defectpool.lattice.analyze`, which is told nothing else. A table a set is printed; every error is
a row in errors.csv with its host and the reason.

    python tests/benchmarks/host_lattice.py --hosts 2000 --bulk 500 --output results/benchmarks
"""

import argparse
import csv
import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from defectpool.lattice import Finding, analyze
from defectpool.lattice.geometry import shortest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DEFECTPOOL_SHARED", ROOT.parent / "shared")) / "data"
TYPES = ("pristine", "vacancy", "antisite", "substitution", "interstitial", "pair")
NOISE = (0.0, 0.02, 0.05, 0.1)
FOREIGN = (5, 6, 7, 8, 9, 13, 14, 15, 16, 25, 32, 34, 47, 50, 79)
SAME_PLACE = 1.0  # Å
BETWEEN = 0.2  # share of the way; an atom further along stands between two sites
COLUMNS = (
    "set",
    "host",
    "type",
    "noise",
    "atoms",
    "expected",
    "verdict",
    "found",
    "wrong",
    "reason",
    "lattice",
    "margin",
)


@dataclass(frozen=True)
class Case:
    """A cell, what it was made of, and (type, name, position) of each of its defects."""

    host: str
    label: str
    noise: float
    atoms: Atoms
    pristine: Atoms
    defects: tuple[tuple[str, str, tuple[float, float, float]], ...]


# ---------------------------------------------------------------------------------- hosts
def monolayers(count: int, seed: int) -> Iterator[tuple[str, Atoms]]:
    """Yield hosts of C2DB of up to 20 atoms a cell."""
    from ase.db import connect

    with connect(SHARED / "c2db" / "c2db.db") as rows:
        found = 0
        for i in np.random.default_rng(seed).permutation(rows.count()) + 1:
            row = rows.get(id=int(i))
            if row.natoms <= 20 and found < count:
                found += 1
                atoms = row.toatoms()
                atoms.pbc = (True, True, False)
                yield f"{row.uid} ({row.get('layergroup', '?')})", atoms
            if found >= count:
                return


def prototypes() -> dict[str, Atoms]:
    """Bulk crystals out of the builders of ASE and of pymatgen."""
    from ase.build import bulk
    from ase.spacegroup import crystal as spaced

    simple = {
        f"{name} ({form})": bulk(name, form, **cell)
        for name, form, cell in [
            ("NaCl", "rocksalt", {"a": 5.64}),
            ("MgO", "rocksalt", {"a": 4.21}),
            ("GaAs", "zincblende", {"a": 5.65}),
            ("CdTe", "zincblende", {"a": 6.48}),
            ("GaN", "wurtzite", {"a": 3.19, "c": 5.19}),
            ("ZnO", "wurtzite", {"a": 3.25, "c": 5.21}),
            ("CsCl", "cesiumchloride", {"a": 4.12}),
            ("CaF2", "fluorite", {"a": 5.46}),
            ("Si", "diamond", {"a": 5.43}),
            ("Cu", "fcc", {"a": 3.61}),
            ("Fe", "bcc", {"a": 2.87}),
            ("Mg", "hcp", {"a": 3.21, "c": 5.21}),
            ("W", "bcc", {"a": 3.16}),
        ]
    }
    groups = {
        "SrTiO3 (perovskite)": ("SrTiO", [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], 221, 3.905),
        "MgAl2O4 (spinel)": (
            "MgAlO",
            [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2624, 0.2624, 0.2624)],
            227,
            8.083,
        ),
        "TiO2 (rutile)": ("TiO", [(0, 0, 0), (0.305, 0.305, 0)], 136, (4.594, 4.594, 2.959)),
        "TiO2 (anatase)": ("TiO", [(0, 0, 0), (0, 0, 0.208)], 141, (3.785, 3.785, 9.514)),
        "Y3Al5O12 (garnet)": (
            ["Y", "Al", "Al", "O"],
            [(0.125, 0, 0.25), (0, 0, 0), (0.375, 0, 0.25), (0.9701, 0.0506, 0.1488)],
            230,
            12.0,
        ),
        "Al2O3 (corundum)": (
            "AlO",
            [(0, 0, 0.3522), (0.3063, 0, 0.25)],
            167,
            (4.759, 4.759, 12.99),
        ),
        "FeS2 (pyrite)": ("FeS", [(0, 0, 0), (0.385, 0.385, 0.385)], 205, 5.416),
        "SiO2 (quartz)": (
            "SiO",
            [(0.4697, 0, 1 / 3), (0.4133, 0.2672, 0.2144)],
            152,
            (4.913, 4.913, 5.405),
        ),
        "CaCO3 (calcite)": (
            "CaCO",
            [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)],
            167,
            (4.99, 4.99, 17.06),
        ),
        "Mg(OH)2 (brucite)": (
            "MgOH",
            [(0, 0, 0), (1 / 3, 2 / 3, 0.22), (1 / 3, 2 / 3, 0.425)],
            164,
            (3.14, 3.14, 4.77),
        ),
        "K2PtCl6 (antifluorite)": (
            "KPtCl",
            [(0.25, 0.25, 0.25), (0, 0, 0), (0.24, 0, 0)],
            225,
            9.75,
        ),
        "CuFeS2 (chalcopyrite)": (
            "CuFeS",
            [(0, 0, 0), (0, 0, 0.5), (0.2574, 0.25, 0.125)],
            122,
            (5.289, 5.289, 10.423),
        ),
        "Cu2O (cuprite)": ("CuO", [(0.25, 0.25, 0.25), (0, 0, 0)], 224, 4.27),
        "CuAu (L1_0)": ("CuAu", [(0, 0, 0), (0.5, 0.5, 0.5)], 123, (2.81, 2.81, 3.72)),
    }
    hexagonal = (143, 194)
    for name, (species, basis, group, size) in groups.items():
        symbols = list(species) if isinstance(species, list) else _symbols(species)
        a, b, c = (size,) * 3 if isinstance(size, float) else size
        gamma = 120 if hexagonal[0] <= group <= hexagonal[1] else 90
        simple[name] = spaced(
            symbols,
            basis,
            spacegroup=group,
            setting=2 if group in (227, 224) else 1,
            cellpar=[a, b, c, 90, 90, gamma],
            primitive_cell=group not in (167,),
        )
    return {**simple, **_of_pymatgen()}


def _symbols(text: str) -> list[str]:
    import re

    return re.findall("[A-Z][a-z]?", text)


def _of_pymatgen() -> dict[str, Atoms]:
    """Prototypes that pymatgen builds from space groups."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    built = {
        "LaAlO3 (Pm-3m)": Structure.from_spacegroup(
            "Pm-3m", Lattice.cubic(3.79), ["La", "Al", "O"], [[0] * 3, [0.5] * 3, [0, 0.5, 0.5]]
        ),
        "Bi2Se3 (R-3m)": Structure.from_spacegroup(
            "R-3m",
            Lattice.hexagonal(4.14, 28.64),
            ["Bi", "Se", "Se"],
            [[0, 0, 0.4], [0, 0, 0], [0, 0, 0.21]],
        ),
        "CaTiO3 (Pnma)": Structure.from_spacegroup(
            "Pnma",
            Lattice.orthorhombic(5.44, 7.64, 5.38),
            ["Ca", "Ti", "O", "O"],
            [[0.036, 0.25, -0.007], [0, 0, 0.5], [0.484, 0.25, 0.071], [0.289, 0.037, -0.289]],
        ),
        "Sb2Se3 (Pnma)": Structure.from_spacegroup(
            "Pnma",
            Lattice.orthorhombic(11.79, 3.985, 11.65),
            ["Sb", "Sb", "Se", "Se", "Se"],
            [
                [0.53, 0.25, 0.172],
                [0.647, 0.75, 0.459],
                [0.629, 0.75, 0.053],
                [0.715, 0.25, 0.305],
                [0.449, 0.75, 0.372],
            ],
        ),
        "ZrO2 (P2_1/c)": Structure.from_spacegroup(
            "P2_1/c",
            Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
            ["Zr", "O", "O"],
            [[0.275, 0.04, 0.208], [0.07, 0.332, 0.345], [0.45, 0.757, 0.479]],
        ),
    }
    cells = {name: crystal.get_primitive_structure() for name, crystal in built.items()}
    return {name: AseAtomsAdaptor.get_atoms(cell) for name, cell in cells.items()}


# ---------------------------------------------------------------------------------- cells
def cells(hosts: Iterator[tuple[str, Atoms]], seed: int, sizes: tuple[int, ...]) -> Iterator[Case]:
    """Yield one cell a host: a type, a size and a noise at random, origin and order at random."""
    for number, (name, host) in enumerate(hosts):
        rng = np.random.default_rng((seed, number))
        label = TYPES[number % len(TYPES)]
        noise = NOISE[(number // len(TYPES)) % len(NOISE)]
        repeats = np.where(host.pbc, rng.choice(sizes, 3), 1)
        if all(host.pbc):
            repeats = modest(host, repeats)
        atoms = Atoms(host.numbers, host.positions, cell=host.cell, pbc=host.pbc) * repeats
        atoms.positions += rng.uniform(-4, 4, 3) * atoms.pbc
        types = {"pair": list(rng.choice(TYPES[1:5], 2)), "pristine": []}.get(label, [label])
        yield with_defects(name, label, types, noise, atoms, rng)


def modest(host: Atoms, repeats: np.ndarray, most: int = 700) -> np.ndarray:
    """Repeats of a bulk cell that give at most so many atoms, but two along each axis."""
    repeats = np.clip(repeats, 2, None)
    while len(host) * np.prod(repeats) > most and repeats.max() > 2:
        repeats[np.argmax(repeats)] -= 1
    return repeats


def with_defects(
    name: str, label: str, types: list[str], noise: float, atoms: Atoms, rng: np.random.Generator
) -> Case:
    """Cell with a defect of each of these types, displaced and in a new order."""
    species = sorted(set(atoms.numbers.tolist()))
    ideal = atoms.copy()
    sites = rng.permutation(len(atoms))[: len(types)]
    numbers = atoms.numbers.copy()
    removed, added, truth = [], [], []
    for defect, site in zip(types, sites, strict=True):
        old = ideal.symbols[site]
        place = tuple(ideal.positions[site])
        if defect == "antisite" and len(species) == 1:
            defect = "substitution"
        if defect == "vacancy":
            removed.append(int(site))
            truth.append(("vacancy", f"v_{old}", place))
        elif defect == "interstitial":
            z = int(rng.choice([*species, 3, 1]))
            position = _void(ideal, added, rng)
            added.append((z, position))
            truth.append(("interstitial", f"{Atoms([z]).symbols[0]}_i", tuple(position)))
        else:
            foreign = defect == "substitution"
            choice = [z for z in (FOREIGN if foreign else species) if z != ideal.numbers[site]]
            choice = [z for z in choice if not foreign or z not in species]
            numbers[site] = rng.choice(choice)
            truth.append((defect, f"{Atoms([numbers[site]]).symbols[0]}_{old}", place))
    atoms.numbers = numbers
    for z, position in added:
        atoms += Atoms([z], [position])
    atoms.positions += rng.normal(0, noise, atoms.positions.shape) if noise else 0.0
    del atoms[removed]
    atoms = atoms[rng.permutation(len(atoms))]
    return Case(name, label, noise, atoms, ideal, tuple(truth))


def _void(ideal: Atoms, added: list, rng: np.random.Generator) -> np.ndarray:
    """Position far from all atoms in the crystal, or above a layer at a bond's length."""
    from defectpool.lattice.geometry import PeriodicTree

    z = ideal.positions[:, 2]
    points = rng.uniform(0, 1, (400, 3)) @ ideal.cell.array
    if not all(ideal.pbc):
        points[:, 2] = rng.uniform(z.min() - 2.0, z.max() + 2.0, 400)
    cell = ideal.cell.array
    tree = PeriodicTree(np.vstack([ideal.positions, *[p for _, p in added]]), cell, ideal.pbc, 12.0)
    distance = np.linalg.norm(tree.nearest(points)[1], axis=1)
    distance[~np.isfinite(distance)] = 0
    return points[np.argmax(np.where(distance < 2.6, distance, 0))]


# ------------------------------------------------------------------------------- judgment
def judge(case: Case, finding: Finding) -> dict[str, bool]:
    """Whether a cell was found, and its defects with the right sites and types."""
    defects = [
        ("interstitial" if d.type == "adatom" else d.type, np.array(d.position))
        for d in finding.defects
    ]
    rest, places, types = list(defects), 0, 0
    for defect_type, _, position in case.defects:
        offsets = [
            _short(case.atoms, np.array(position) - p) @ case.atoms.cell.array for _, p in rest
        ]
        distance = [float(np.linalg.norm(o)) for o in offsets]
        if distance and min(distance) < SAME_PLACE + 2 * case.noise:
            taken = rest.pop(int(np.argmin(distance)))
            places += 1
            types += taken[0] == defect_type
    n = len(case.defects)
    complete = not rest and finding.verdict != "undecided"
    return {
        "found": finding.verdict == ("defective" if n else "pristine"),
        "sites": complete and places == n,
        "types": complete and types == n,
    }


def _short(atoms: Atoms, vector: np.ndarray) -> np.ndarray:
    scaled = vector @ np.linalg.inv(atoms.cell.array)
    return scaled - np.where(atoms.pbc, np.round(scaled), 0)


def measure(name: str, cases: Iterator[Case], errors: list[dict]) -> None:
    """Analyze all cells of a set, print its table, and list its errors."""
    counts: Counter = Counter()
    seconds = 0.0
    for case in cases:
        start = time.perf_counter()
        finding = analyze(case.atoms)
        seconds += time.perf_counter() - start
        right = judge(case, finding)
        for group in (case.label, f"noise {case.noise}", "defective" if case.defects else "all"):
            counts[group, "n"] += 1
            counts[group, "undecided"] += finding.verdict == "undecided"
            counts[group, "wrong"] += finding.verdict not in (
                "undecided",
                "defective" if case.defects else "pristine",
            )
            for key, value in right.items():
                counts[group, key] += value
        if not all(right.values()):
            errors.append(_error(name, case, finding, right))
    _print(name, counts, seconds)


def _error(name: str, case: Case, finding: Finding, right: dict[str, bool]) -> dict:
    return {
        "set": name,
        "host": case.host,
        "type": case.label,
        "noise": case.noise,
        "atoms": len(case.atoms),
        "expected": " ".join(d[1] for d in case.defects),
        "verdict": finding.verdict,
        "found": " ".join(d.name for d in finding.defects),
        "wrong": " ".join(key for key, value in right.items() if not value),
        "reason": finding.reason,
        "lattice": f"{finding.host.formula} {finding.host.size}" if finding.host else "",
        "margin": f"{finding.margin:.3f}",
    }


def _print(name: str, counts: Counter, seconds: float) -> None:
    total = counts["defective", "n"] + counts["all", "n"]
    print(f"\n{name}: {total} cells, {1e3 * seconds / max(total, 1):.0f} ms each")
    print(f"{'':14}{'cells':>7}{'found':>9}{'site':>9}{'type':>9}{'undecided':>11}{'wrong':>7}")
    groups = [*TYPES, *(f"noise {x}" for x in NOISE), "defective"]
    for group in groups:
        n = counts[group, "n"]
        if n:
            judged = [100 * counts[group, key] / n for key in ("found", "sites", "types")]
            rates = "".join(f"{rate:8.2f}%" for rate in judged)
            print(
                f"{group:14}{n:7}{rates}{counts[group, 'undecided']:11}{counts[group, 'wrong']:7}"
            )


# ------------------------------------------------------------------------------- real cells
def real(errors: list[dict], every: int) -> None:
    """Relaxed and thermal cells: exact names, and these or the same cell by another name."""
    from ase.io import read

    for file in sorted((SHARED / "real").glob("*.xyz.gz")):
        with gzip.open(file, "rt") as stream:
            frames = read(stream, index=f"::{every}", format="extxyz")
        counts: Counter = Counter()
        seconds = 0.0
        for atoms in frames:
            expected = sorted(d["name"] for d in json.loads(atoms.info["defects"]))
            start = time.perf_counter()
            finding = analyze(atoms)
            seconds += time.perf_counter() - start
            names = sorted(d.name for d in finding.defects)
            group = ("pristine", "single", "complex")[min(len(expected), 2)]
            verdict = "defective" if expected else "pristine"
            exact = names == expected and finding.verdict == verdict
            counts[group, "n"] += 1
            counts[group, "found"] += finding.verdict == verdict
            counts[group, "exact"] += exact
            counts[group, "either"] += exact or same_cell(expected, names, finding)
            if not exact:
                errors.append(
                    {
                        "set": file.stem,
                        "host": atoms.info["host"],
                        "type": group,
                        "atoms": len(atoms),
                        "expected": " ".join(expected),
                        "verdict": finding.verdict,
                        "found": " ".join(names),
                        "wrong": "name" if finding.verdict == verdict else "found",
                        "reason": finding.reason
                        or ("the same cell" if same_cell(expected, names, finding) else ""),
                        "margin": f"{finding.margin:.3f}",
                    }
                )
        print(f"\n{file.name}: {len(frames)} cells, {1e3 * seconds / len(frames):.0f} ms each")
        for group in ("pristine", "single", "complex"):
            if n := counts[group, "n"]:
                keys = {"found": "found", "exact": "exact names", "either": "or the same cell"}
                rates = ", ".join(
                    f"{v} {100 * counts[group, k] / n:.1f} %" for k, v in keys.items()
                )
                print(f"  {group:9}{n:5}  {rates}")


def same_cell(expected: list[str], names: list[str], finding: Finding) -> bool:
    """Whether two lists of names differ only by the hop of one foreign atom to an adjacent site.

    The atom X stands between a site a, which it was found on, and a vacant neighbor b, at least
    BETWEEN of the way from either. Then X_a + v_b and X_b + v_a are the same cell; all other names
    have to agree.
    """
    host = finding.host
    if host is None:
        return False
    vacancies = [d for d in finding.defects if d.type == "vacancy"]
    for foreign in (d for d in finding.defects if d.type == "substitution"):
        species, site = foreign.name.split("_")
        for vacancy in vacancies:
            place = np.array(vacancy.position) - np.array(foreign.position)
            way = shortest(place, host.pristine_cell, host.pbc)
            share = float(host.displacements[foreign.atoms[0]] @ way / (way @ way))
            adjacent = np.linalg.norm(way) < 1.3 * host.shortest_bond
            other = [f"{species}_{vacancy.name.split('_')[1]}", f"v_{site}"]
            hopped = Counter(names) - Counter([foreign.name, vacancy.name]) + Counter(other)
            if adjacent and BETWEEN < share < 1 - BETWEEN and hopped == Counter(expected):
                return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=2000, help="cells of C2DB hosts")
    parser.add_argument("--bulk", type=int, default=500, help="cells of bulk prototypes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    share = 10 if options.quick else 1
    errors: list[dict] = []
    if (SHARED / "c2db").is_dir() and options.hosts:
        hosts = monolayers(max(options.hosts // share, 1), options.seed)
        measure("C2DB", cells(hosts, options.seed, (3, 4, 5, 6)), errors)
    if options.bulk:
        built = list(prototypes().items())
        chosen = (built[i // 6 % len(built)] for i in range(options.bulk // share))
        measure("bulk", cells(chosen, options.seed, (2, 3, 4)), errors)
    if (SHARED / "real").is_dir():
        real(errors, share)
    write(errors, options.output)


def write(errors: list[dict], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "errors.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(errors)
    print(f"\n{len(errors)} errors in {folder / 'errors.csv'}")


if __name__ == "__main__":
    main()
