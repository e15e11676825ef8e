"""Results in words and as plain data: a line for a reader, a dictionary for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from defectpool.scan.result import DEFECTIVE, UNDECIDED, Result

if TYPE_CHECKING:
    from defectpool.lattice import Complex, Defect, Finding

SHOWN = 4  # defects that a line names one by one


def line(result: Result) -> str:
    """Answer for a structure in one line.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        For instance `POSCAR  MoSe2, 89 atoms, P-6m2 host: v_Mo at (3.1, 5.2, 15.0) Å`.
    """
    size = f"{result.atoms} atom{'s' * (result.atoms != 1)}"
    if result.verdict == UNDECIDED or result.finding is None:
        what = f"undecided, {size}: {result.reason}" if result.atoms else result.reason
        return f"{result.name}  {what}"
    said = _defects(result.finding) if result.verdict == DEFECTIVE else "pristine"
    host = result.finding.host
    about = f"{host.formula}, {size}, {result.symmetry} host" if host else size
    return f"{result.name}  {about}: {said}"


def as_dict(result: Result) -> dict[str, Any]:
    """Plain data of a result, the form of `--json`.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    dict
        path, frame, atoms, verdict, reason, host (formula, symmetry, residual in Å), margin,
        defects (type, name, position in Å, atoms, distance moved in Å, score), complexes (name,
        members, distances in Å) and events.
    """
    finding = result.finding
    defects, complexes = (finding.defects, finding.complexes) if finding else ((), ())
    return {
        "path": result.path,
        "frame": result.frame,
        "atoms": result.atoms,
        "verdict": result.verdict,
        "reason": result.reason,
        "host": _host(result),
        "margin": _number(finding.margin) if finding else None,
        "defects": [_defect(defect) for defect in defects],
        "complexes": [_complex(found) for found in complexes],
        "events": [_event(event) for event in result.events],
    }


def position_in_words(position: Any) -> str:
    """Position in Å with one decimal."""
    x, y, z = (round(float(value), 1) + 0.0 for value in position)  # no "-0.0"
    return f"({x:.1f}, {y:.1f}, {z:.1f}) Å"


def _defects(finding: Finding) -> str:
    named = [f"{d.name} at {position_in_words(d.position)}" for d in finding.defects[:SHOWN]]
    rest = len(finding.defects) - len(named)
    said = ", ".join(named) + (f" and {rest} more" if rest else "")
    # a complex without a name of its own is called after its members, which are named already
    complexes = [found.name for found in finding.complexes if " + " not in found.name]
    return f"{said} ({', '.join(complexes[:SHOWN])})" if complexes else said


def _host(result: Result) -> dict[str, Any] | None:
    host = result.finding.host if result.finding else None
    if host is None:
        return None
    return {
        "formula": host.formula,
        "symmetry": result.symmetry,
        "residual": _number(host.residual),
    }


def _defect(defect: Defect) -> dict[str, Any]:
    return {
        "type": defect.type,
        "name": defect.name,
        "position": [_number(value) for value in defect.position],
        "atoms": [int(row) for row in defect.atoms],
        "distance_moved": _number(defect.distance_moved),
        "score": _number(defect.score),
    }


def _complex(found: Complex) -> dict[str, Any]:
    return {
        "name": found.name,
        "members": [int(member) for member in found.members],
        "distances": [_number(value) for value in found.distances],
    }


def _event(event: Any) -> dict[str, Any]:
    return {
        "type": event.type,
        "name": event.name,
        "position": [_number(value) for value in event.position],
    }


def _number(value: Any) -> float | None:
    """Return a number for JSON, which has no infinity: None stands for what is not finite."""
    number = float(value) if value is not None else np.nan
    return round(number, 6) if np.isfinite(number) else None
