"""The host's own lattice as a baseline: nothing trained, no reference given.

`defectpool.lattice` looks for the translations of the host in each structure, unfolds the pristine
supercell from them and compares it with the atoms, site by site. Here its answers are evaluated on
the same structures as the networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.evaluation.found_defects import judgment
from defectpool.lattice import Finding, analyze

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.structures.structure_files import DefectStructure

COLUMNS = ("structure", "verdict", "reason", "site_correct", "type_correct")


def find(structures: Iterable[DefectStructure]) -> pd.DataFrame:
    """Answers of the lattice for structures whose defects are known.

    Parameters
    ----------
    structures
        Defective and pristine supercells.

    Returns
    -------
    DataFrame
        One row a structure: structure, verdict (pristine, defective or undecided), reason (why it
        is undecided), site_correct (as many defects as there are, and each true one less than 1 Å
        from one of them), type_correct (their types and names are the true ones; an adatom counts
        as an interstitial).
    """
    rows = []
    for structure in structures:
        finding = analyzed(structure.atoms)
        judged = judgment(structure.atoms, structure.defects, finding.defects)
        site = len(finding.defects) == structure.count and judged.site_correct == 1
        named = judged.type_correct == 1 and judged.name_correct == 1
        rows.append((structure.structure, finding.verdict, finding.reason, site, named))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judged(found: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Answers of the lattice for the structures that the networks were tested on.

    Parameters
    ----------
    found
        Rows of `find`.
    predictions
        Predictions of any run on these structures.

    Returns
    -------
    DataFrame
        One row a structure: host, formula, name, label, the columns of `find`, and `probability`,
        1 for defective and 0 for pristine; an undecided structure gets the wrong one.

    Raises
    ------
    DefectpoolError
        The predictions are of other structures.
    """
    key = ["structure", "host", "formula", "name", "label"]
    tested = predictions.drop_duplicates("structure")[key]
    if not set(tested["structure"]) <= set(found["structure"]):
        raise DefectpoolError(
            "the predictions are of other structures than the structure files; train again"
        )
    table = tested.merge(found, on="structure", validate="one_to_one")
    undecided = table["verdict"] == "undecided"
    answer = (table["verdict"] == "defective").astype(float)
    return table.assign(probability=np.where(undecided, 1.0 - table["label"], answer))


def row(answers: pd.DataFrame, defect: str, supercell: str, resamples: int) -> dict[str, Any]:
    """Row of `results/baselines.csv` for the lattice.

    Parameters
    ----------
    answers
        Rows of `judged`.
    defect, supercell
        Type of defect and label of the supercell.
    resamples
        Bootstrap resamples of the hosts.
    """
    detected = answers[(answers["label"] == 1) & (answers["verdict"] == "defective")]
    return {
        "defect": defect,
        "supercell": supercell,
        "baseline": "lattice",
        "split": "host",
        **statistics.accuracy(answers, resamples).columns("accuracy"),
        **statistics.counts(answers),
        "n_undecided": int((answers["verdict"] == "undecided").sum()),
        **statistics.share(detected, detected["site_correct"], resamples).columns("site_accuracy"),
        **statistics.share(detected, detected["type_correct"], resamples).columns("type_accuracy"),
    }


def wrong(answers: pd.DataFrame) -> pd.DataFrame:
    """Structures with a wrong or no verdict, or a wrong site or type, among rows of `judged`."""
    correct = statistics.is_correct(answers)
    defective = (answers["label"] == 1).to_numpy()
    named = (answers["site_correct"] & answers["type_correct"]).to_numpy()
    return answers[~correct | (defective & ~named)].drop(columns="probability")


def analyzed(atoms: Atoms) -> Finding:
    """Return what the lattice tells of a structure; a failure is an undecided structure."""
    try:
        return analyze(atoms)
    except MemoryError:
        raise
    except Exception as error:  # one structure must not take the campaign down
        reason = f"the analysis failed: {type(error).__name__}: {error}"
        return Finding("undecided", reason, None, (), (), 0.0)
