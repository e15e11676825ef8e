"""Textbook monolayers that come with the project, built from published numbers.

`embedded.csv` has one row for each monolayer: its uid in C2DB, its reduced formula, its prototype,
the species in the order of the prototype's roles, and the parameters of the prototype (lengths in
Å, see `prototypes`). They are rounded values of the literature, of the monolayer or of the layers
of its bulk crystal; `doi` names the publication, or two, separated by a semicolon, where
lattice constants and internal parameters come from different ones.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from defectpool.materials.host import Host
from defectpool.materials.prototypes import PROTOTYPES, build

TABLE = Path(__file__).with_name("embedded.csv")
FACTS = ("uid", "formula", "prototype", "species", "doi")


def hosts() -> Iterator[Host]:
    """Build the monolayers one by one, in order of id.

    Yields
    ------
    Host
        With its prototype, layer group (symbol and number) and DOI as properties.

    Raises
    ------
    DefectpoolError
        If a row lacks a species or parameter of its prototype.
    """
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["uid"])
    for row in rows:
        name = row["prototype"]
        parameters = {key: float(value) for key, value in row.items() if key not in FACTS and value}
        atoms = build(name, row["species"].split(), parameters)
        yield Host(
            row["uid"],
            atoms,
            row["formula"],
            "embedded",
            {
                "prototype": name,
                "layergroup": PROTOTYPES[name].layer_group_symbol,
                "lgnum": PROTOTYPES[name].layer_group,
                "doi": row["doi"],
            },
        )
