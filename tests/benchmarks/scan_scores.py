"""Scores of `defectpool scan`: made of synthetic cells, tested on other hosts and on real cells.

Cells of C2DB monolayers and bulk prototypes get defects on 1 to 20 % of their sites and noise of 0
to 0.3 Å. Hosts are split in halves by formula: a logistic regression on one half gives the
constants of `defectpool.lattice.score`, the other half and the real cells show how far they hold.
An answer is right if name and place are.

    python tests/benchmarks/scan_scores.py --hosts 800 --bulk 800
"""

import argparse
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import host_lattice
import numpy as np
from ase import Atoms
from host_lattice import SHARED, TYPES, Case
from sklearn.linear_model import LogisticRegression

from defectpool.lattice import Defect, Finding, analyze
from defectpool.lattice.geometry import shortest
from defectpool.lattice.naming import reduced_formula
from defectpool.lattice.score import KINDS, SLOPES, ambiguity

BINS = (0.0, 0.5, 0.8, 0.95, 0.99, 1.0)
MOST = 200  # atoms


def cells(hosts: Iterator[tuple[str, Atoms]], seed: int) -> Iterator[Case]:
    """Yield one cell a host, with many defects."""
    for number, (name, host) in enumerate(hosts):
        rng = np.random.default_rng((seed, number))
        repeats = host_lattice.modest(
            host, np.where(host.pbc, rng.choice((3, 4, 5, 6), 3), 1), MOST
        )
        repeats = np.where(host.pbc, repeats, 1)
        atoms = Atoms(host.numbers, host.positions, cell=host.cell, pbc=host.pbc) * repeats
        noise, share = rng.uniform(0, 0.3), np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
        types = list(rng.choice(TYPES[1:5], max(1, round(share * len(atoms)))))
        yield host_lattice.with_defects(name, "many", types, noise, atoms, rng)


def right(case: Case, finding: Finding) -> list[bool]:
    """Whether each defect that was found is one that was made; each of these counts once."""
    left, found = list(case.defects), []
    for defect in finding.defects:
        match = next((made for made in left if _same(defect, made, case)), None)
        found.append(match is not None)
        if match:
            left.remove(match)
    return found


def _same(defect: Defect, made: tuple, case: Case) -> bool:
    offset = np.array(defect.position) - np.array(made[2])
    distance = np.linalg.norm(shortest(offset, case.atoms.cell.array, case.atoms.pbc))
    reach = host_lattice.SAME_PLACE + 2 * case.noise
    return defect.name == made[1] and bool(distance < reach)


def answers(cases: Iterator[Case]) -> list[tuple[str, float, bool, bool]]:
    """Type, score and rightness of each defect found, and whether its host is in the first half."""
    found = []
    for case in cases:
        finding = analyze(case.atoms)
        formula = reduced_formula(case.pristine.numbers.tolist())
        half = int(hashlib.sha256(formula.encode()).hexdigest(), 16) % 2 == 0
        for defect, good in zip(finding.defects, right(case, finding), strict=True):
            found.append((defect.type, defect.score, good, half))
    return found


def real_answers() -> dict[str, list[tuple[str, float, bool, bool]]]:
    """Answers on real cells: right if the name is, or if the cell is the same by another name."""
    from ase.io import read

    found: dict[str, list] = {}
    for file in sorted((SHARED / "real").glob("*.xyz.gz")):
        with gzip.open(file, "rt") as stream:
            frames = read(stream, index=":", format="extxyz")
        for atoms in frames:
            expected = Counter(d["name"] for d in json.loads(atoms.info["defects"]))
            finding = analyze(atoms)
            names = sorted(d.name for d in finding.defects)
            hopped = host_lattice.same_cell(sorted(expected.elements()), names, finding)
            left = Counter(expected)
            for defect in finding.defects:
                exact = left[defect.name] > 0
                left[defect.name] -= exact
                found.setdefault("real, exact names", []).append(
                    (defect.type, defect.score, exact, False)
                )
                found.setdefault("real, or the same cell", []).append(
                    (defect.type, defect.score, exact or hopped, False)
                )
    return found


def fit(found: list[tuple[str, float, bool, bool]]) -> None:
    """Print the constants that the first half gives; errors are so few that they are shrunk."""
    half = [answer for answer in found if answer[3]]
    kinds = np.array([KINDS.get(answer[0], answer[0]) for answer in half])
    doubt = np.array([ambiguity(answer[0], answer[1]) for answer in half])
    good = np.array([answer[2] for answer in half])
    intercepts, slopes = {}, {}
    for kind in SLOPES:
        mine = kinds == kind
        model = LogisticRegression(C=10.0).fit(doubt[mine, None], good[mine])
        intercepts[kind] = round(float(model.intercept_[0]), 1)
        slopes[kind] = round(-float(model.coef_[0, 0]), 1)
    print(f"\nINTERCEPTS = {intercepts}\nSLOPES = {slopes}")


def reliability(name: str, found: list[tuple[str, float, bool, bool]]) -> None:
    """Print the share that is right for each range of scores."""
    scores = np.array([answer[1] for answer in found])
    good = np.array([answer[2] for answer in found], dtype=float)
    print(f"\n{name}: {len(good)} defects, {100 * good.mean():.2f} % right", end=", ")
    print(f"Brier score {((scores - good) ** 2).mean():.4f} ({good.var():.4f} without scores)")
    for low, high in pairwise(BINS):
        inside = (scores >= low) & (scores < high + (high == 1))
        if inside.any():
            share, mean = good[inside].mean(), scores[inside].mean()
            print(
                f"  {low:4.2f} to {high:4.2f}{inside.sum():7}  score {mean:.3f}  right {share:.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=800, help="cells of C2DB hosts")
    parser.add_argument("--bulk", type=int, default=800, help="cells of bulk prototypes")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    built = list(host_lattice.prototypes().items())
    found = answers(cells((built[i % len(built)] for i in range(options.bulk)), options.seed))
    if (SHARED / "c2db").is_dir():
        found += answers(cells(host_lattice.monolayers(options.hosts, options.seed), options.seed))
    fit(found)
    reliability("half that was fitted", [answer for answer in found if answer[3]])
    reliability("held-out half", [answer for answer in found if not answer[3]])
    if (SHARED / "real").is_dir():
        for name, answered in real_answers().items():
            reliability(name, answered)


if __name__ == "__main__":
    main()
