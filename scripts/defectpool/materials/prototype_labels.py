"""Prototypes of hosts, for tests on prototypes that were not trained on."""

import json
from pathlib import Path

import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.runtime.disk import reading_error


def read_prototypes(path: Path) -> dict[str, str]:
    """Read the prototype of each host from `selected.csv`.

    Where the source names none, hosts of one stoichiometry, number of atoms and layer group count
    as one prototype, e.g. "AB2 3 p-6m2" for MoS2.

    Parameters
    ----------
    path
        `results/materials/selected.csv`: id, formula, layergroup, natoms, properties.

    Returns
    -------
    dict
        Prototype of each host's id.

    Raises
    ------
    DefectpoolError
        The file is missing or lacks a column.
    """
    from pymatgen.core import Composition

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = table[["id", "formula", "layergroup", "natoms", "properties"]]
    except (OSError, KeyError, ValueError) as error:
        raise reading_error(error, path) or DefectpoolError(
            f"{path} cannot be used ({error}); delete it and run again"
        ) from None
    found = {}
    for host, formula, group, atoms, properties in rows.itertuples(index=False):
        named = json.loads(properties).get("prototype") if properties else None
        stoichiometry = Composition(formula).anonymized_formula
        found[host] = str(named) if named else f"{stoichiometry} {atoms} {group or 'unknown group'}"
    return found
