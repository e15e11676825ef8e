"""Score of a defect: the share of such answers that are right.

An answer is ambiguous where an atom is about as near to another place as to the one it is said to
have. A logistic function of the ambiguity gives the share. Its constants come from synthetic cells,
whose defects are known (`tests/benchmarks/scan_scores.py` makes them again).
"""

from __future__ import annotations

import math

import numpy as np

from defectpool.lattice.geometry import Floats, Ints, PeriodicTree, shortest
from defectpool.lattice.host import Host

INTERCEPTS = {"vacancy": 6.4, "exchanged": 6.5, "interstitial": 5.7}
SLOPES = {"vacancy": 6.7, "exchanged": 9.7, "interstitial": 5.0}
KINDS = {"antisite": "exchanged", "substitution": "exchanged", "adatom": "interstitial"}
NEAR = 0.75  # bonds; an atom this near to a vacant site may be its own
CLEAR = 1.3  # Å; an atom this far from a vacant site begins to be an interstitial
LARGEST = 1.0  # ambiguity; the next place is as near


def score(defect_type: str, ambiguity: float) -> float:
    """Share of the answers of this ambiguity that are right, 0 to 1."""
    kind = KINDS.get(defect_type, defect_type)
    return 1 / (1 + math.exp(SLOPES[kind] * min(ambiguity, LARGEST) - INTERCEPTS[kind]))


def ambiguity(defect_type: str, share: float) -> float:
    """Ambiguity of a defect of this score, the inverse of `score`."""
    kind = KINDS.get(defect_type, defect_type)
    return (INTERCEPTS[kind] - math.log(share / (1 - share))) / SLOPES[kind]


def of_vacancy(closest: float, bond: float) -> float:
    """Ambiguity of a vacant site, 0 to 1, from the distance of the closest atom in Å."""
    return max(0.0, 1 - closest / (NEAR * bond))


def of_interstitial(position: Floats, vacant: Floats, host: Host) -> float:
    """Ambiguity of an atom without a site, 0 to 1, from its distance to the nearest vacant one."""
    if not len(vacant):
        return 0.0
    offset = shortest(vacant - position, host.pristine_cell, host.pbc)
    nearest = float(np.linalg.norm(offset, axis=1).min())
    return min(1.0, max(0.0, 2 - nearest / CLEAR))


def of_exchanged(sites: Ints, displacements: Floats, host: Host) -> Floats:
    """Ambiguity of atoms on sites of another species, [m]: (distance / distance to the next)².

    Parameters
    ----------
    sites, displacements
        Rows of their sites [m], and vectors from these to the atoms in Å [m, 3].
    host
        The host.
    """
    if not len(sites):
        return np.zeros(0)
    reach = 2.0 * host.shortest_bond
    tree = PeriodicTree(host.pristine_positions, host.pristine_cell, host.pbc, reach)
    rows, vectors = tree.nearest(host.pristine_positions[sites] + displacements, k=2)
    squared = (vectors**2).sum(axis=2)
    squared[rows == sites[:, None]] = np.inf
    return (displacements**2).sum(axis=1) / np.maximum(squared.min(axis=1), 1e-9)
