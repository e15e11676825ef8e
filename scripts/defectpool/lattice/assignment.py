"""Assignment of atoms to sites (Wigner-Seitz analysis with a least-squares matching)."""

from __future__ import annotations

import numpy as np

from defectpool.lattice.geometry import Floats, Ints, PeriodicTree

CUTOFF = 1.3  # Å; a host's atom further than this from its site has left it
FOREIGN_CUTOFF = 2.2  # Å; foreign atoms are larger or smaller and go further
MISMATCH = 0.5  # Å²; cost of an atom on the site of another species
UNSEATED = FOREIGN_CUTOFF**2 + MISMATCH  # Å²; cost of an atom without a site
MANY = 4000  # atoms in doubt; more are not matched at the least cost but one by one
NEAREST = 4  # sites that an atom may take
SURE = 0.6  # Å; an atom of the right species this near a site that nobody else claims has it


def assign(
    numbers: Ints,
    positions: Floats,
    site_numbers: Ints,
    site_positions: Floats,
    cell: Floats,
    pbc: np.ndarray,
) -> tuple[Ints, Floats]:
    """Assign atoms to sites with the least sum of squared distances.

    An atom may stay without a site, at a cost that is higher than that of any site in its reach
    and the same for all atoms, so the matching also decides who is an interstitial.

    Returns
    -------
    Site of each atom [n] (-1: none) and displacement from it in Å [n, 3] (0 without a site).
    """
    tree = PeriodicTree(site_positions, cell, pbc, FOREIGN_CUTOFF)
    k = min(NEAREST, len(tree.rows))
    sites, vectors = tree.nearest(positions, k=k)
    sites, vectors = sites.reshape(len(numbers), k), vectors.reshape(len(numbers), k, 3)
    squared = (vectors**2).sum(axis=2)
    match = (sites >= 0) & (site_numbers[sites] == numbers[:, None])
    site_of_atom = _sure(sites[:, 0], squared[:, 0], match[:, 0], len(site_numbers))
    open_atoms = np.flatnonzero(site_of_atom < 0)
    foreign = ~np.isin(numbers, site_numbers)
    reach = np.where(foreign, FOREIGN_CUTOFF, CUTOFF)
    cost = squared + np.where(match, 0.0, MISMATCH)
    taken = np.zeros(len(site_numbers), dtype=bool)
    taken[site_of_atom[site_of_atom >= 0]] = True
    cost[(sites < 0) | taken[sites] | (squared > reach[:, None] ** 2)] = np.inf
    solve = _matching if len(open_atoms) <= MANY else _greedy
    site_of_atom[open_atoms] = solve(sites[open_atoms], cost[open_atoms])
    return site_of_atom, _displacements(site_of_atom, sites, vectors)


def _sure(nearest: Ints, squared: Floats, match: np.ndarray, n_sites: int) -> Ints:
    """Site of each atom that is near one of its species which no other atom is nearest to."""
    claims = np.bincount(nearest[nearest >= 0], minlength=n_sites)
    sure = match & (squared < SURE**2) & (claims[nearest] == 1)
    return np.where(sure, nearest, -1)


def _matching(sites: Ints, cost: Floats) -> Ints:
    """Least-cost matching of atoms to sites or, at a higher cost, to none, [m]."""
    if not len(sites):
        return np.zeros(0, dtype=np.int64)
    # half a second of a cold start, and most structures need no matching
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    used, columns = np.unique(sites, return_inverse=True)
    columns = columns.reshape(sites.shape)
    n, m = len(sites), len(used)
    allowed = np.isfinite(cost)
    edges = np.column_stack([allowed, np.ones(n, dtype=bool)])  # the last is to stay without
    data = np.column_stack([cost, np.full(n, UNSEATED)])[edges] + 1.0  # 0 would be no edge
    columns = np.column_stack([columns, m + np.arange(n)])[edges]
    ends = np.concatenate([[0], np.cumsum(edges.sum(axis=1))])
    graph = csr_array((data, columns, ends), shape=(n, m + n))
    graph.sort_indices()
    matched, taken = min_weight_full_bipartite_matching(graph)
    found = np.full(n, -1, dtype=np.int64)
    inside = taken < m
    found[matched[inside]] = used[taken[inside]]
    return found


def _greedy(sites: Ints, cost: Floats) -> Ints:
    """Greedy matching, the cheapest pairs first, of so many atoms that no lattice fits, [m]."""
    found = np.full(len(sites), -1, dtype=np.int64)
    taken: set[int] = set()
    atoms, columns = np.nonzero(np.isfinite(cost))
    for edge in np.argsort(cost[atoms, columns], kind="stable"):
        atom, site = int(atoms[edge]), int(sites[atoms[edge], columns[edge]])
        if found[atom] < 0 and site not in taken:
            found[atom] = site
            taken.add(site)
    return found


def _displacements(site_of_atom: Ints, sites: Ints, vectors: Floats) -> Floats:
    """Vectors from the sites to their atoms in Å, [n, 3]."""
    column = np.argmax(sites == site_of_atom[:, None], axis=1)
    found = -vectors[np.arange(len(sites)), column]
    found[site_of_atom < 0] = 0.0
    return found
