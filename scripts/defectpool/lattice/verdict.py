"""Verdict on a structure: pristine, defective, or undecided and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from defectpool.lattice.comparison import Defect, defects_of
from defectpool.lattice.complexes import Complex, find_complexes
from defectpool.lattice.doubts import doubt
from defectpool.lattice.geometry import crystal
from defectpool.lattice.host import Host, host_of


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
    defects = defects_of(atoms, host, host.site_of_atom, host.displacements)
    margin = _margin(host, len(defects))
    reason = doubt(host, defects, margin)
    if reason:
        return Finding("undecided", reason, host, (), (), margin)
    complexes = find_complexes(atoms, host, defects, host.displacements)
    verdict = "defective" if defects else "pristine"
    return Finding(verdict, "", host, defects, complexes, margin)


def _margin(host: Host, n_defects: int) -> float:
    """Relative difference to the next description that tells of other defects."""
    others = [a.bits for a in host.alternatives if a.n_defects != n_defects]
    return (min(others) - host.bits) / host.bits if others and host.bits > 0 else 1.0
