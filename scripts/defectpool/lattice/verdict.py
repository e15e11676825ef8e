"""Verdict on a structure: pristine, defective, or undecided and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .comparison import Defect, defects_of
from .complexes import Complex, find_complexes
from .geometry import crystal
from .host import Host, host_of

CROWDED = 0.3  # defects a site; more is no crystal with point defects
MIXED = 0.34  # share of one site of the basis that other species hold; more is an alloy
MELTING = 0.18  # rms displacement in bonds (Lindemann's criterion)
CLOSE = 0.02  # relative difference of two descriptions that are as good as each other


@dataclass(frozen=True)
class Finding:
    """Answer for one structure.

    Attributes
    ----------
    verdict
        "pristine", "defective" or "undecided".
    reason
        Why it is undecided, else empty.
    host
        The host, where there is one.
    defects, complexes
        Empty unless the verdict is defective.
    margin
        By how much longer the next explanation is than the best one, relative to the best.
    """

    verdict: str
    reason: str
    host: Host | None
    defects: tuple[Defect, ...]
    complexes: tuple[Complex, ...]
    margin: float


def analyze(atoms: Any) -> Finding:
    """Point defects of a structure that comes without a reference, or why they are undecided.

    Parameters
    ----------
    atoms
        Anything with `numbers`, `positions`, `cell` and `pbc`, such as `ase.Atoms`.
    """
    try:
        canonical = crystal(atoms)
        host = host_of(atoms, canonical)
    except ValueError as error:
        return Finding("undecided", str(error), None, (), (), 0.0)
    margin = _margin(host)
    defects = defects_of(atoms, host, host.site_of_atom, host.displacements)
    reason = _reason(host, defects, margin)
    if reason:
        return Finding("undecided", reason, host, (), (), margin)
    complexes = find_complexes(atoms, host, defects, host.displacements)
    verdict = "defective" if defects else "pristine"
    return Finding(verdict, "", host, defects, complexes, margin)


def _margin(host: Host) -> float:
    """Relative difference to the next description that says something else."""
    others = [a.bits for a in host.alternatives]
    return (min(others) - host.bits) / host.bits if others and host.bits > 0 else 1.0


def _reason(host: Host, defects: tuple[Defect, ...], margin: float) -> str:
    """Why no verdict can be given; empty if one can."""
    if host.size == 1:
        return "nothing repeats: a primitive cell, an amorphous structure or a molecule"
    n_sites = len(host.pristine_numbers)
    exchanged = [d for d in defects if d.type in ("antisite", "substitution")]
    if len(defects) > CROWDED * n_sites:
        if len(exchanged) > 0.7 * len(defects):
            return "disordered alloy: too many sites are held by other species"
        return f"{len(defects)} of {n_sites} sites do not fit one lattice: two hosts, or molten"
    usual = float(np.median(np.linalg.norm(host.displacements, axis=1)))
    if usual > MELTING * host.shortest_bond:
        return f"atoms are {usual:.2f} Å from their sites: near melting"
    return ""
