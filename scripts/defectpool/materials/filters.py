"""Filters by composition, size, symmetry and known properties, the same for every source.

C2DB has named the same properties differently over the years; `normalize` brings them to the names
of the current release. Levels of stability are those of
Haastrup et al., 2D Mater. 5, 042002 (2018).
"""

import re

import numpy as np
from ase import Atoms

from defectpool.config import MaterialsSettings
from defectpool.materials.extended_xyz import RESERVED, Value
from defectpool.materials.host import OWN, BadStructure, Properties

LEVELS = ("low", "medium", "high")


def normalize(properties: Properties) -> Properties:
    """Give known properties one name, one type and one unit; leave others as they are.

    Returns
    -------
    dict
        With `ehull` and `hform` (eV/atom) as numbers, `dyn_stab` as Yes, No or Unknown,
        `thermodynamic_stability` as low, medium or high, and `lgnum` as a whole number, each where
        the source gives it.
    """
    known = {_key(key): value for key, value in properties.items()}
    for key in ("ehull", "hform"):
        number = _number(known.pop(key, None))
        if number is not None:
            known[key] = number
    if not isinstance(known.get("layergroup", ""), str) or known.get("layergroup") == "":
        del known["layergroup"]
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

    Parameters
    ----------
    atoms
        The structure as read from the source; its elements must be known.
    properties
        Its properties after `normalize`.
    settings
        The filters.

    Raises
    ------
    BadStructure
        The reason is the config key that leaves the host out, or `no_<property>` where the key
        asks for a property that this host lacks.
    """
    count, species = len(atoms), sorted(set(atoms.symbols))
    few, many = settings.min_atoms, settings.max_atoms
    if count < few:
        raise BadStructure("min_atoms", f"{count} atoms, fewer than {few}")
    if many is not None and count > many:
        raise BadStructure("max_atoms", f"{count} atoms, more than {many}")
    few, many = settings.min_species, settings.max_species
    if len(species) < few:
        raise BadStructure("min_species", f"{len(species)} elements, fewer than {few}")
    if many is not None and len(species) > many:
        raise BadStructure("max_species", f"{len(species)} elements, more than {many}")
    others = [symbol for symbol in species if symbol not in settings.only_elements]
    if settings.only_elements and others:
        raise BadStructure("only_elements", f"contains {', '.join(others)}")
    missing = [symbol for symbol in settings.with_elements if symbol not in species]
    if missing:
        raise BadStructure("with_elements", f"has no {', '.join(missing)}")
    unwanted = [symbol for symbol in species if symbol in settings.without_elements]
    if unwanted:
        raise BadStructure("without_elements", f"contains {', '.join(unwanted)}")
    _check_stability(properties, settings)


def check_layer_group(properties: Properties, settings: MaterialsSettings) -> None:
    """Apply the filter by layer group; see `check`."""
    if not settings.layer_groups:
        return
    number, symbol = properties.get("lgnum"), properties.get("layergroup")
    if number not in settings.layer_groups and symbol not in settings.layer_groups:
        raise BadStructure("layer_groups", f"layer group {symbol} ({number})")


def _check_stability(properties: Properties, settings: MaterialsSettings) -> None:
    if settings.max_ehull is not None:
        hull = _wanted(properties, "ehull", "max_ehull")
        if float(hull) > settings.max_ehull:
            raise BadStructure("max_ehull", f"{hull} eV/atom, more than {settings.max_ehull}")
    least = settings.thermodynamic_stability
    if least is not None:
        level = str(_wanted(properties, "thermodynamic_stability", "thermodynamic_stability"))
        if LEVELS.index(level) < LEVELS.index(least):
            raise BadStructure("thermodynamic_stability", f"{level}, lower than {least}")
    if settings.dynamic_stability == "stable":
        _wanted(properties, "dyn_stab", "dynamic_stability")
    stable = properties.get("dyn_stab", "Unknown")
    if settings.dynamic_stability == "stable" and stable != "Yes":
        raise BadStructure("dynamic_stability", f"dynamically stable: {stable}")
    if settings.dynamic_stability == "not_unstable" and stable == "No":
        raise BadStructure("dynamic_stability", "dynamically unstable")


def _wanted(properties: Properties, name: str, key: str) -> Value:
    if name not in properties:
        raise BadStructure(f"no_{name}", f"materials.{key} asks for {name}, which is not known")
    return properties[name]


def _key(name: str) -> str:
    """Name that a file of hosts can hold."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if plain in OWN or plain in RESERVED:
        return f"{plain}_"
    return plain if re.match("[A-Za-z_]", plain) else f"_{plain}"


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _level(value: object) -> str:
    """Level as a word; old releases number them from 1."""
    number = _number(value)
    if number in (1, 2, 3):
        return LEVELS[int(number) - 1]
    text = str(value).strip().lower()
    return text if text in LEVELS else ""


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
    return "medium" if hull > 0.2 else "high"
