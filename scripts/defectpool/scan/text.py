"""Results in words and as plain data: a line for a reader, a dictionary for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from defectpool.scan.result import DEFECTIVE, UNDECIDED, Result

if TYPE_CHECKING:
    from defectpool.evaluation.second_opinion import Opinion
    from defectpool.evaluation.site_defects import SiteDefect
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
    after = f"; {second_opinion(as_dict(result))}" if result.opinions else ""
    if result.verdict == UNDECIDED or result.finding is None:
        what = f"undecided, {size}: {result.reason}" if result.atoms else result.reason
        return f"{result.name}  {what}{after}"
    said = _defects(result.finding) if result.verdict == DEFECTIVE else "pristine"
    host = result.finding.host
    about = f"{host.formula}, {size}, {result.symmetry} host" if host else size
    return f"{result.name}  {about}: {said}{after}"


def second_opinion(record: Mapping[str, Any]) -> str:
    """Answer of the networks in words, such as `networks disagree: 0.03 ± 0.02`.

    Parameters
    ----------
    record
        A result in the form of `as_dict`; the words are empty where no network was asked.
    """
    asked = record["networks"]
    if not asked:
        return ""
    words = {True: "networks agree", False: "networks disagree", None: "networks"}
    return f"{words[record['agrees']]}: {', '.join(_answer(one) for one in asked)}"


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
        members, distances in Å) and events; networks (model, method, probability and its spread,
        whether they call it defective, rows of the sites with the highest score, note, defects and
        whether they are those of the lattice), one for each model; probability and
        probability_spread of the model that is surest of a defect, whether it agrees, and whether
        its defects do.
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
        "probability": _number(result.opinion.probability) if result.opinion else None,
        "probability_spread": _number(result.opinion.spread) if result.opinion else None,
        "agrees": result.agrees,
        "defects_agree": result.same_defects(result.opinion) if result.opinion else None,
        "networks": [
            _opinion(opinion) | {"defects_agree": result.same_defects(opinion)}
            for opinion in result.opinions
        ],
    }


def position_in_words(position: Any) -> str:
    """Position in Å with one decimal."""
    x, y, z = (round(float(value), 1) + 0.0 for value in position)  # no "-0.0"
    return f"({x:.1f}, {y:.1f}, {z:.1f}) Å"


def _defects(finding: Finding) -> str:
    said = _listed([_defect(defect) for defect in finding.defects])
    # a complex without a name of its own is called after its members, which are named already
    complexes = [found.name for found in finding.complexes if " + " not in found.name]
    return f"{said} ({', '.join(complexes[:SHOWN])})" if complexes else said


def _listed(defects: Sequence[Mapping[str, Any]]) -> str:
    """Names and positions of the first few defects."""
    named = [f"{d['name']} at {position_in_words(d['position'])}" for d in defects[:SHOWN]]
    rest = len(defects) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


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


def _opinion(opinion: Opinion) -> dict[str, Any]:
    return {
        "model": opinion.model,
        "method": opinion.method,
        "probability": _number(opinion.probability),
        "probability_spread": _number(opinion.spread),
        "defective": opinion.defective,
        "sites": list(opinion.sites),
        "note": opinion.note,
        "defects": None
        if opinion.defects is None
        else [_seen(defect) for defect in opinion.defects],
    }


def _seen(defect: SiteDefect) -> dict[str, Any]:
    return {
        "type": defect.type,
        "name": defect.name,
        "position": [_number(value) for value in defect.position],
        "atoms": list(defect.atoms),
        "probability": _number(defect.probability),
    }


def _answer(opinion: Mapping[str, Any]) -> str:
    if opinion["probability"] is None:
        return f"no answer ({opinion['note']})"
    number = f"{opinion['probability']:.2f} ± {opinion['probability_spread']:.2f}"
    defects = opinion["defects"]
    if defects is None or (not defects and opinion["probability"] <= 0.5):
        return number
    if opinion["defects_agree"]:
        return f"{number}, the same defect{'s' * (len(defects) > 1)}"
    return f"{number}, {_listed(defects) if defects else 'no defect located'}"


def _number(value: Any) -> float | None:
    """Return a number for JSON, which has no infinity: None stands for what is not finite."""
    number = float(value) if value is not None else np.nan
    return round(number, 6) if np.isfinite(number) else None
