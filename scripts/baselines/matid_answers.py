"""MatID's answers: what its symmetry-based clustering leaves out of the largest cluster.

Runs in an environment of its own (`make env-baselines`): cells in, a table out. The parameters are
MatID's defaults. Himanen et al., npj Comput. Mater. 4, 52 (2018).
"""

import csv
import gzip
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
from matid.clustering import SBC


def verdict(atoms):
    """Return 1 defective or 0 pristine, the first atom outside of the cluster, and a reason.

    A vacancy leaves no atom out, but then the atoms of the cluster are no whole number of its
    prototype cells.
    """
    clusters = SBC().get_clusters(atoms)
    if not clusters:
        return "", -1, "no cluster was found"
    largest = max(clusters, key=lambda cluster: len(cluster.indices))
    outside = sorted(set(range(len(atoms))) - set(largest.indices))
    if outside:
        return 1, outside[0], ""
    cell = largest.get_cell()
    cells = [np.sum(atoms.numbers == z) / np.sum(cell.numbers == z) for z in set(cell.numbers)]
    whole = all(number == cells[0] and number == int(number) for number in cells)
    return int(not whole), -1, ""


def main(cells, answers):
    """Write verdict, atom and seconds of each cell."""
    with gzip.open(cells, "rt") as source, Path(answers).open("w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(["structure", "score", "atom", "seconds", "reason"])
        for atoms in ase.io.iread(source, index=":", format="extxyz"):
            started = time.process_time()
            try:
                score, atom, reason = verdict(atoms)
            except Exception as error:  # one structure must not take the job down
                score, atom = "", -1
                reason = " ".join(f"{type(error).__name__}: {error}".split())
            seconds = f"{time.process_time() - started:.6g}"
            writer.writerow([atoms.info["structure"], score, atom, seconds, reason])


if __name__ == "__main__":
    main(*sys.argv[1:])
