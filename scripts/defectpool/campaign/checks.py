"""Checks of a campaign that need its hosts and can be made before any job starts."""

import csv
from pathlib import Path


def too_few_formulas(selected: Path, folds: int, split: str) -> str:
    """Say that the selected hosts are too few for the folds; empty if they are not.

    Parameters
    ----------
    selected
        `results/materials/selected.csv`, up to date.
    folds, split
        Section `training` of the configuration.
    """
    if split != "formula" or not selected.is_file():
        return ""
    with selected.open(encoding="utf-8", newline="") as file:
        formulas = {row["formula"] for row in csv.DictReader(file)}
    needed = max(folds, 3)
    if len(formulas) >= needed:
        return ""
    return (
        f"training.folds: {folds} folds need hosts of at least {needed} different formulas, and "
        f"{selected} has {len(formulas)}; take more materials or fewer folds"
    )
