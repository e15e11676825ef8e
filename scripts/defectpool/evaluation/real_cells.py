"""Real cells with labels: what the lattice and the trained networks tell of them.

A file is extended XYZ, compressed or not; `info["defects"]` of a frame is a JSON list of its
defects (`kind`, `name`, and `position` in Å where it is known), empty for a pristine frame,
`info["host"]` the formula of its host and `info["name"]` what it is a relaxation or a trajectory
of. Networks that were trained on the host's formula are not asked.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.evaluation.found_defects import JUDGED, SAME_SITE, Judgment, judgment
from defectpool.evaluation.lattice_baseline import analyzed
from defectpool.evaluation.second_opinion import unlabeled
from defectpool.evaluation.site_defects import site_defects
from defectpool.evaluation.unseen_networks import UnseenNetworks
from defectpool.graphs.elements import unknown_elements
from defectpool.runtime.disk import reading_error
from defectpool.runtime.hashing import seed as seed_of
from defectpool.structures.defect_labels import FIRST_SHELL, DefectLabel

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.lattice import Host

# Consecutive frames of a trajectory are nearly the same: so many are one for the intervals.
BLOCK = 25

# Noise in Å on the recovered pristine supercells of files that hold no pristine frame.
NOISE = (0.01, 0.03, 0.05)

ANSWERS = (
    "set", "group", "host", "label", "probability", "site_correct", "type_correct",
    "name_correct", "distance",
)  # fmt: skip


@dataclass(frozen=True)
class RealCell:
    """A structure with its labels.

    Attributes
    ----------
    atoms
        The structure.
    set
        File that it comes from, without suffixes; with the noise where it was added.
    group
        Cells of one group are correlated: the states of one defect, 25 frames of a trajectory.
    host
        Reduced formula of the host.
    defects
        Labels; a position is empty where it is unknown.
    """

    atoms: Atoms
    set: str
    group: str
    host: str
    defects: tuple[DefectLabel, ...]


def read_cells(folder: Path) -> list[RealCell]:
    """Read the labeled cells of all files of a folder, by name.

    Raises
    ------
    DefectpoolError
        The folder has no such file, or a frame has no labels.
    """
    paths = sorted([*folder.glob("*.xyz"), *folder.glob("*.xyz.gz")])
    if not paths:
        raise DefectpoolError(f"real.path: there is no .xyz or .xyz.gz file in {folder}")
    return [cell for path in paths for cell in _read(path)]


def _read(path: Path) -> Iterator[RealCell]:
    from ase.io import read
    from pymatgen.core import Composition

    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            frames = read(file, index=":", format="extxyz")
        for number, atoms in enumerate(frames):
            info = atoms.info
            block = f":{number // BLOCK}" if "frame" in info else ""
            defects = tuple(
                DefectLabel(one["kind"], one["name"], tuple(one.get("position", ())))
                for one in json.loads(info["defects"])
            )
            stem = path.name.partition(".")[0]
            host = Composition(info["host"]).reduced_formula
            yield RealCell(atoms, stem, f"{info.get('name', number)}{block}", host, defects)
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise reading_error(error, path) or DefectpoolError(
            f"{path}: no extended XYZ with info['defects'] and info['host'] ({error!r})"
        ) from error


def with_noisy_pristine(cells: Sequence[RealCell], copies: int = 30) -> list[RealCell]:
    """Cells, and pristine ones where a file has none: recovered by the lattice, with static noise.

    Without them nothing would be known of false alarms. The noise is Gaussian along each axis.
    """
    found = list(cells)
    for name in dict.fromkeys(cell.set for cell in cells):
        of_set = [cell for cell in cells if cell.set == name]
        if any(not cell.defects for cell in of_set):
            continue
        findings = ((cell.host, analyzed(cell.atoms)) for cell in of_set)
        decided = ((name, one.host) for name, one in findings if one.verdict != "undecided")
        formula, host = next(decided, ("", None))
        if host is None:
            continue
        for sigma in NOISE:
            for copy in range(copies):
                atoms = _pristine(host)
                random = np.random.default_rng(seed_of("noise", name, sigma, copy))
                atoms.positions += random.normal(0, sigma, atoms.positions.shape)
                label = f"{name}, pristine, {sigma:g} Å"
                found.append(RealCell(atoms, label, str(copy), formula, ()))
    return found


def _pristine(host: Host) -> Atoms:
    from ase import Atoms

    return Atoms(
        host.pristine_numbers, host.pristine_positions, cell=host.pristine_cell, pbc=host.pbc
    )


def lattice_answers(cells: Iterable[RealCell]) -> pd.DataFrame:
    """Answers of the lattice, one row a cell (`ANSWERS`); undecided counts as wrong."""
    rows = []
    for cell in cells:
        finding = analyzed(cell.atoms)
        defective = finding.verdict == "defective"
        if finding.verdict == "undecided":
            defective = not cell.defects
        rows.append(
            _row(cell, float(defective), judgment(cell.atoms, cell.defects, finding.defects))
        )
    return pd.DataFrame(rows, columns=list(ANSWERS))


def network_answers(
    cells: Sequence[RealCell], model: Path, predictions: pd.DataFrame
) -> pd.DataFrame:
    """Answers of the networks of a run that did not train on a cell's host, one row a cell.

    The probability is the mean over these networks. Those with a class for every site list defects
    (`evaluation.site_defects`), which are judged as the lattice's are; their probability is 1 where
    they list any, else 0. Of others the site with the highest mean score is judged, and types are
    not known.

    Parameters
    ----------
    cells
        The cells.
    model
        `model.pt` of a run.
    predictions
        Predictions of the run, which tell the fold in which each formula was tested.
    """
    networks = UnseenNetworks(model, predictions)
    rows = []
    for cell in cells:
        answer = networks.answer(unlabeled(cell.atoms), cell.host)
        if answer is None:
            unknown = ", ".join(map(str, unknown_elements(cell.atoms.numbers)))
            why = f"no features for the atomic numbers {unknown}" if unknown else "it has no atoms"
            name = cell.atoms.get_chemical_formula() or "a cell"
            raise DefectpoolError(
                f"real.path: no graph can be made of {name} in {cell.set}: {why}; take it out"
            )
        if answer.classes is None:
            probability = answer.probability
            judged = Judgment(float(_belongs(cell, answer.atom)))
        else:
            found = site_defects(unlabeled(cell.atoms).atoms, answer.classes)
            probability = float(bool(found))
            judged = judgment(cell.atoms, cell.defects, found)
        rows.append(_row(cell, probability, judged))
    return pd.DataFrame(rows, columns=list(ANSWERS))


def _belongs(cell: RealCell, site: int) -> bool:
    """Whether a site belongs to a defect: its atom, or the neighbors of a vacancy."""
    from ase.geometry import get_distances

    for defect in cell.defects:
        if not defect.position:
            continue
        distances = get_distances(
            np.array([defect.position]), cell.atoms.positions, cell.atoms.cell, cell.atoms.pbc
        )[1][0]
        reach = FIRST_SHELL * distances.min() if defect.kind == "vacancy" else SAME_SITE
        if distances[site] <= max(reach, SAME_SITE):
            return True
    return False


def _row(cell: RealCell, probability: float, judged: Judgment) -> dict[str, Any]:
    """Row of the answers; of a pristine cell there is nothing to judge."""
    return {
        "set": cell.set,
        "group": cell.group,
        "host": cell.host,
        "label": int(bool(cell.defects)),
        "probability": probability,
        **(vars(judged) if cell.defects else {}),
    }


def table(answers: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Shares of correct answers by set, with 95 % intervals over groups.

    Returns
    -------
    DataFrame
        One row a set and label: set, label (1 defective, 0 pristine), n_cells, n_groups, and
        accuracy, site_accuracy, type_accuracy and name_accuracy with `_low` and `_high`, and the
        median of distance; empty where there is nothing to judge.
    """
    rows = []
    for (name, label), part in answers.groupby(["set", "label"], sort=False):
        row = {"set": name, "label": label, "n_cells": len(part)}
        row["n_groups"] = part["group"].nunique()
        right = part.assign(structure=np.arange(len(part)).astype(str))
        right["host"] = right["group"]
        row |= statistics.accuracy(right, resamples).columns("accuracy")
        for column in JUDGED:
            known = right.dropna(subset=f"{column}_correct")
            estimate = statistics.share(known, known[f"{column}_correct"], resamples)
            row |= estimate.columns(f"{column}_accuracy")
        row["distance"] = part["distance"].median()
        rows.append(row)
    return pd.DataFrame(rows)
