"""One-line notes on structures that were left out, for the end of a run."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def selection_note(folder: Path) -> str:
    """Count the structures of the source that are used, and those that are not.

    Parameters
    ----------
    folder
        `results/materials`, with `selected.csv` and `rejected.csv`.

    Returns
    -------
    str
        "6 of 8 structures used; results/materials/rejected.csv says why 2 are not (2 unreadable)".
        Empty if there is no selection, or if every structure is used.
    """
    used = sum(_reasons([folder / "selected.csv"], "id").values())
    reasons = _reasons([folder / "rejected.csv"], "reason")
    left_out = sum(reasons.values())
    if not left_out:
        return ""
    verb = "is" if left_out == 1 else "are"
    return (
        f"{used} of {used + left_out} structures used; {folder / 'rejected.csv'} says why "
        f"{left_out} {verb} not ({_listed(reasons)})."
    )


def skipped_note(folder: Path) -> str:
    """Count the defects that could not be built.

    Parameters
    ----------
    folder
        `results/structures`, with `<defect>/<supercell>/<shard>.skipped.csv`.

    Returns
    -------
    str
        Empty if every defect was built.
    """
    reasons = _reasons(sorted(folder.glob("*/*/*.skipped.csv")), "reason")
    if not reasons:
        return ""
    return (
        f"{sum(reasons.values())} defects could not be built ({_listed(reasons)}); "
        f"{folder}/<defect>/<supercell>/<shard>.skipped.csv lists them."
    )


def failed_note(folder: Path) -> str:
    """Count the structures whose relaxation or dynamics failed.

    Parameters
    ----------
    folder
        `results/relaxed`, with `<defect>/<supercell>/<shard>.skipped.csv`.

    Returns
    -------
    str
        Empty if none failed.
    """
    reasons = _reasons(sorted(folder.glob("*/*/*.skipped.csv")), "reason")
    if not reasons:
        return ""
    return (
        f"{sum(reasons.values())} structures did not relax as their labels say "
        f"({_listed(reasons)}); {folder}/<defect>/<supercell>/<shard>.skipped.csv lists them."
    )


def _reasons(paths: Iterable[Path], column: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in paths:
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                found.update(row[column] for row in csv.DictReader(file))
    return found


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4)) + (
        ", …" if len(reasons) > 4 else ""
    )
