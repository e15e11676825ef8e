"""Lists of defects that networks with a class for every site make of the test structures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.evaluation.found_defects import JUDGED, judgment
from defectpool.evaluation.site_defects import site_defects
from defectpool.runtime.disk import reading_error

if TYPE_CHECKING:
    from defectpool.evaluation.statistics import Estimate
    from defectpool.evaluation.unseen_networks import UnseenNetworks
    from defectpool.structures.structure_files import DefectStructure

COLUMNS = (
    "structure", "host", "formula", "defect", "displacements", "label", "probability", "listed",
    "site_correct", "type_correct", "name_correct", "distance",
)  # fmt: skip
TEXTS = ("structure", "host", "formula", "defect", "displacements")

# Rows of all displacements together.
ALL = "all"


def lists(structures: Iterable[DefectStructure], networks: UnseenNetworks) -> pd.DataFrame:
    """Lists of defects of structures, by the networks that have not seen their formulas.

    Returns
    -------
    DataFrame
        One row a structure (`COLUMNS`): `probability` is that of the networks, `listed` the number
        of defects in the list, and of defective structures the list is judged
        (`evaluation.found_defects`). Structures without a graph have no row.
    """
    rows = []
    for one in structures:
        answer = networks.answer(one, one.formula)
        if answer is None:
            continue
        assert answer.classes is not None
        found = site_defects(one.atoms, answer.classes)
        judged = vars(judgment(one.atoms, one.defects, found)) if one.label else {}
        rows.append(
            {name: getattr(one, name) for name in (*TEXTS, "label")}
            | {"probability": answer.probability, "listed": len(found)}
            | judged
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read(path: Path) -> pd.DataFrame:
    """Read the rows of `lists` from a CSV file."""
    numbers = {name: [""] for name in COLUMNS if name not in TEXTS}
    try:
        rows = pd.read_csv(
            path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=numbers
        )
        return rows.astype({"label": int, "listed": int})
    except (OSError, ValueError, KeyError) as error:
        raise reading_error(error, path) or DefectpoolError(
            f"{path}: damaged file of lists ({error}); delete it and run again"
        ) from error


def table(rows: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Shares of structures with a right list, with 95 % intervals over hosts.

    Parameters
    ----------
    rows
        Rows of `lists` of one run.
    resamples
        Bootstrap resamples.

    Returns
    -------
    DataFrame
        One row a type of defect and displacement model, and one of all models: defect,
        displacements, n_hosts, n_test; `found` and `false_alarms`, the shares of defective and of
        pristine structures whose list is not empty, and `found_by_probability` and
        `false_alarms_by_probability` in its place; site_accuracy, type_accuracy and name_accuracy,
        the shares of defective structures of whose list all sites, types or names are right;
        median of distance in Å. Shares have columns `_low` and `_high`.
    """
    return pd.DataFrame([_row(*part, resamples) for part in _parts(rows)])


def _parts(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for defect, of_type in rows.groupby("defect", sort=False):
        yield str(defect), ALL, of_type
        models = of_type.groupby("displacements")
        if len(models) > 1:
            for name, part in models:
                yield str(defect), str(name), part


def _row(defect: str, displacements: str, part: pd.DataFrame, resamples: int) -> dict[str, Any]:
    defective, pristine = part[part["label"] == 1], part[part["label"] == 0]

    def share(of: pd.DataFrame, values: pd.Series[Any]) -> Estimate:
        return statistics.share(of, values.astype(float), resamples)

    row: dict[str, Any] = {"defect": defect, "displacements": displacements}
    row |= statistics.counts(part)
    for name, of in (("found", defective), ("false_alarms", pristine)):
        row |= share(of, of["listed"] > 0).columns(name)
        row |= share(of, of["probability"]).columns(f"{name}_by_probability")
    for name in JUDGED:
        known = defective.dropna(subset=f"{name}_correct")
        row |= share(known, known[f"{name}_correct"]).columns(f"{name}_accuracy")
    return row | {"distance": defective["distance"].median()}
