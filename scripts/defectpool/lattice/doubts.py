"""Doubts: why no verdict can be given on a structure."""

from __future__ import annotations

import numpy as np

from defectpool.lattice.comparison import Defect
from defectpool.lattice.geometry import Floats, PeriodicTree, wrapped
from defectpool.lattice.host import Host

CROWDED = 0.3  # defects a site; more is no crystal with point defects
MIXED = 0.24  # share of a species' sites that one other species holds; more is an alloy
FEW = 4  # atoms on others' sites; fewer are defects, whatever their share
SEGREGATED = 0.25  # by how much more often than at random mixed sites are neighbors
MELTING = 0.18  # usual displacement in bonds (Lindemann's criterion)
SHORT = 1.8  # Å; bonds of hydrogen are shorter, but do not tell when a crystal melts
CLOSE = 0.03  # relative difference of two descriptions that are as good as each other
ISLAND = 4.0  # Å; gaps this wide on all sides make a molecule
SAVED = 0.58  # of the bits of atoms that follow no lattice; a lattice with defects takes less
FEW_CELLS = 4  # cells that a crystal of its own may mimic
FOLLOWING = 0.85  # of the bits of atoms that follow no lattice; less is a lattice of its own


def doubt(host: Host, defects: tuple[Defect, ...], margin: float) -> str:
    """Reason why a structure stays undecided; empty if it need not.

    Parameters
    ----------
    host, defects
        The best explanation.
    margin
        Relative difference to the next one that tells of other defects.
    """
    return (
        _nothing_repeats(host)
        or _two_lattices(host)
        or _mixed(host, defects)
        or _crowded(host, defects)
        or _molten(host)
        or _ambiguous(host, margin)
    )


def _nothing_repeats(host: Host) -> str:
    if host.size > 1:
        return ""
    if _is_island(host):
        return "a molecule: empty space on all sides"
    other = _second_lattice(host)
    if other:
        return other
    if len(host.pristine_numbers) < 40:
        return "nothing repeats: a primitive cell was given, or a cell with too many defects"
    return "nothing repeats: an amorphous or molten structure, or one cell of a large crystal"


def _is_island(host: Host) -> bool:
    """Whether gaps part the atoms from their images along every axis."""
    inverse = np.linalg.inv(host.pristine_cell)
    scaled = np.sort(wrapped(host.pristine_positions @ inverse, host.pbc), axis=0)
    gaps = np.diff(np.vstack([scaled, scaled[:1] + 1]), axis=0).max(axis=0)
    return bool(np.all(gaps / np.linalg.norm(inverse, axis=0) > ISLAND))


def _two_lattices(host: Host) -> str:
    """Doubt about a host of few, large cells in which part of the atoms follows its own lattice."""
    return _second_lattice(host) if host.size <= 3 and len(host.numbers) > 12 else ""


def _second_lattice(host: Host) -> str:
    n = len(host.site_of_atom)
    free = host.bits_without_lattice
    for other in host.alternatives:
        follows = other.bits < FOLLOWING * free and other.n_defects > 0.25 * n
        if other.size >= 4 * host.size and follows:
            return f"two hosts in one cell: part of the atoms follows a lattice of {other.formula}"
    return ""


def _mixed(host: Host, defects: tuple[Defect, ...]) -> str:
    """Doubt about sites of one species of which another holds a good part."""
    pairs: dict[str, list[int]] = {}
    for defect in defects:
        if defect.type in ("antisite", "substitution"):
            pairs.setdefault(defect.name, []).append(defect.site)
    for name, sites in sorted(pairs.items()):
        alike = np.flatnonzero(host.pristine_numbers == host.pristine_numbers[sites[0]])
        share = len(sites) / len(alike)
        if len(sites) < FEW or share < MIXED:
            continue
        guest, native = name.split("_")
        what = f"{guest} holds {100 * share:.0f} % of the sites of {native}"
        if _neighboring(host, alike, np.array(sites)) > share + SEGREGATED:
            return f"two hosts in one cell: {what}, side by side"
        return f"disordered alloy: {what}"
    return ""


def _neighboring(host: Host, alike: np.ndarray, sites: np.ndarray) -> float:
    """Share of the neighbors of some sites, among those of their species, that are of them."""
    places: Floats = host.pristine_positions[alike]
    tree = PeriodicTree(places, host.pristine_cell, host.pbc, 5 * host.shortest_bond)
    rows = tree.nearest(host.pristine_positions[sites], k=min(5, len(tree.rows)))[0]
    others = rows.reshape(len(sites), -1)[:, 1:]
    return float(np.isin(alike[others[others >= 0]], sites).mean()) if others.size else 0.0


def _crowded(host: Host, defects: tuple[Defect, ...]) -> str:
    """Doubt about more defects than a lattice can bear, or than its few repeats can prove.

    One vacancy in two cells is believed: crystals that are two like halves but for an atom are
    rare, those with two species or empty sites in order are not.
    """
    n_sites = len(host.pristine_numbers)
    two_halves = host.size == 2 and [d.type for d in defects] == ["vacancy"]
    costly = host.bits > SAVED * host.bits_without_lattice and not two_halves
    if not defects or not (costly or len(defects) > CROWDED * n_sites):
        return ""
    if host.size > FEW_CELLS:
        return f"{len(defects)} defects on {n_sites} sites: too many for one lattice"
    cells = f"{len(defects)} defects in {host.size} cells of {host.formula}"
    return f"too few repeats: {cells}, or one cell of another crystal"


def _molten(host: Host) -> str:
    usual = float(np.median(np.linalg.norm(host.displacements, axis=1)))
    if usual <= MELTING * max(host.shortest_bond, SHORT):
        return ""
    return f"near melting: atoms are {usual:.2f} Å from their sites"


def _ambiguous(host: Host, margin: float) -> str:
    if margin >= CLOSE:
        return ""
    return "several lattices explain it equally well: " + " or ".join(
        f"{formula} x {size}"
        for formula, size in [
            (host.formula, host.size),
            *((a.formula, a.size) for a in host.alternatives[:1]),
        ]
    )
