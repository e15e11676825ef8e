"""Defect types from the names of defects."""

import re

PRISTINE = "pristine"


def defect_type_of(name: str, formula: str, label: int) -> str:
    """Return the type of defect from its name and its host: S_Mo in MoS2 is an antisite.

    Parameters
    ----------
    name
        As pymatgen writes it: v_Mo, S_Mo, Li_S, Ag_i; of a complex S_Mo+v_S.
    formula
        Reduced formula of the host.
    label
        1 defective, 0 pristine.
    """
    if not label:
        return PRISTINE
    if name == "dense" or "+" in name:
        return "dense" if name == "dense" else "complex"
    species, place = name.split("_")
    if species == "v":
        return "vacancy"
    if place == "i":
        return "interstitial"
    return "antisite" if species in re.findall("[A-Z][a-z]?", formula) else "substitution"
