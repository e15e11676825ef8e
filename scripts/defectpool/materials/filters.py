"""Filters by what a host is and by what is known of it, the same for every source.

C2DB has named the same facts differently over the years; `normalize` brings them to the names of
the current release. Levels of stability are those of Haastrup et al., 2D Mater. 5, 042002 (2018).
"""

import re

import numpy as np
from ase import Atoms

from defectpool.config import MaterialsSettings
from defectpool.materials.host import BadStructure, Properties

LEVELS = ("low", "medium", "high")


def normalize(properties: Properties) -> Properties:
    """Give known facts one name, one type and one unit; what is not known of is left as it is.

    Returns
    -------
    dict
        With `ehull` and `hform` (eV/atom) as numbers, `dyn_stab` as Yes, No or Unknown,
        `thermodynamic_stability` as low, medium or high, and `lgnum` as a whole number, each where
        the source has what it takes.
    """
    known = {re.sub(r"\W", "_", key): value for key, value in properties.items()}
    for key in ("ehull", "hform"):
        number = _number(known.pop(key, None))
        if number is not None:
            known[key] = number
    number = _number(known.pop("lgnum", None))
    if number is not None and number.is_integer() and 1 <= number <= 80:
        known["lgnum"] = int(number)
    dynamic = _dynamic(known)
    if dynamic:
        known["dyn_stab"] = dynamic
    thermodynamic = _thermodynamic(known)
    if thermodynamic:
        known["thermodynamic_stability"] = thermodynamic
    return known


def check(atoms: Atoms, properties: Properties, settings: MaterialsSettings) -> None:
    """Apply the filters that need no symmetry.

    Raises
    ------
    BadStructure
        The reason is the config key that leaves the host out, or `no_<property>` where the key
        asks for a property that this host lacks.
    """
    count = len(atoms)
    if settings.max_atoms is not None and count > settings.max_atoms:
        raise BadStructure("max_atoms", f"{count} atoms")


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _level(value: object) -> str:
    """Level as a word; old releases number them from 1."""
    text = str(value).strip().lower()
    return {"1": "low", "2": "medium", "3": "high"}.get(text, text if text in LEVELS else "")


def _dynamic(known: Properties) -> str:
    if "dyn_stab" in known:
        text = str(known["dyn_stab"]).strip().lower()
        words = {"yes": "Yes", "true": "Yes", "1": "Yes", "no": "No", "false": "No", "0": "No"}
        return words.get(text, "Unknown")
    levels = [
        _level(known[key])
        for key in (
            "dynamic_stability_phonons",
            "dynamic_stability_stiffness",
            "dynamic_stability_level",
        )
        if key in known
    ]
    if not levels:
        return ""
    if any(level in ("low", "medium") for level in levels):
        return "No"
    complete = "dynamic_stability_level" in known or len(levels) == 2
    return "Yes" if complete and all(level == "high" for level in levels) else "Unknown"


def _thermodynamic(known: Properties) -> str:
    level = _level(known.get("thermodynamic_stability_level", ""))
    if level:
        return level
    hull, formation = known.get("ehull"), known.get("hform")
    if not isinstance(hull, float) or not isinstance(formation, float):
        return ""
    if formation > 0.2:
        return "low"
    return "high" if hull < 0.2 else "medium"
