"""Checks of a campaign that need its hosts and can be made before any job starts."""

import csv
import json
import re
from pathlib import Path

# An element of a reduced formula and its number.
_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d*)")


def too_few_groups(selected: Path, folds: int, split: str) -> str:
    """Say that the selected hosts are too few for the folds; empty if they may be enough.

    Parameters
    ----------
    selected
        `results/materials/selected.csv`, up to date.
    folds, split
        Section `training` of the configuration.
    """
    if split == "random" or not selected.is_file():
        return ""
    with selected.open(encoding="utf-8", newline="") as file:
        found = {group for row in csv.DictReader(file) for group in _groups(row, split)}
    needed = max(folds, 3)
    if len(found) >= needed:
        return ""
    return (
        f"training.folds: {folds} folds need hosts of at least {needed} different {split}s, and "
        f"{selected} has {len(found)}; take more materials or fewer folds"
    )


def _groups(row: dict[str, str], split: str) -> list[str]:
    """Return the groups of a host that folds keep apart."""
    elements = _ELEMENT.findall(row["formula"])
    if split == "element":
        return [symbol for symbol, _ in elements]
    if split == "formula":
        return [row["formula"]]
    named = json.loads(row["properties"] or "{}").get("prototype")
    counts = sorted(number for _, number in elements)
    return [str(named or (counts, row["natoms"], row["layergroup"]))]
