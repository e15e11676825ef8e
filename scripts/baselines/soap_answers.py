"""SOAP's answers: how far each site is from the mean of its element, as doped guesses positions.

Runs in an environment of its own (`make env-baselines`): cells in, a table out.
Bartok et al., Phys. Rev. B 87, 184115 (2013); dscribe:
Computer Physics Communications 247, 106949 (2020).
"""

import csv
import gzip
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
from dscribe.descriptors import SOAP

CUTOFF, N_MAX, L_MAX = 5.0, 8, 6


def distances(atoms, soap):
    """Cosine distance of each site's SOAP vector to the mean of its element, [sites]."""
    alike = atoms.copy()
    alike.numbers[:] = 1  # all atoms as one element
    vectors = soap.create(alike)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.empty_like(vectors)
    for number in np.unique(atoms.numbers):
        same = atoms.numbers == number
        means[same] = vectors[same].mean(axis=0)
    return 1 - (vectors * means).sum(axis=1) / np.linalg.norm(means, axis=1)


def main(cells, answers):
    """Write score (the largest distance), its atom and the seconds of each cell."""
    soap = SOAP(species=["H"], r_cut=CUTOFF, n_max=N_MAX, l_max=L_MAX, periodic=True)
    with gzip.open(cells, "rt") as source, Path(answers).open("w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(["structure", "score", "atom", "seconds", "reason"])
        for atoms in ase.io.iread(source, index=":", format="extxyz"):
            started = time.process_time()
            row = ["", -1]
            reason = ""
            try:
                found = distances(atoms, soap)
                row = [f"{found.max():.6g}", int(found.argmax())]
            except Exception as error:  # one structure must not take the job down
                reason = " ".join(f"{type(error).__name__}: {error}".split())
            seconds = f"{time.process_time() - started:.6g}"
            writer.writerow([atoms.info["structure"], *row, seconds, reason])


if __name__ == "__main__":
    main(*sys.argv[1:])
