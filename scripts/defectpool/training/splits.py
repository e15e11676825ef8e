"""Splits in which no chemical formula stands on both sides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.identity import seed as seed_of


def host_disjoint_folds(
    formulas: Sequence[str] | NDArray[np.str_], folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal structures into folds by the formula of their host.

    All polymorphs of a formula fall into one fold. Formulas are dealt from the largest (most
    structures) to the smallest, each into the fold that is smallest so far; among equals a hash
    of seed and formula decides. So the folds do not depend on the order of the rows.

    Parameters
    ----------
    formulas
        Reduced formula of the host of each structure.
    folds
        Number of folds.
    seed
        Another seed, other folds.

    Returns
    -------
    array
        Fold of each structure, in [0, folds).

    Raises
    ------
    DefectpoolError
        There are fewer formulas than folds, or too few for a validation set besides.
    """
    distinct, rows, counts = np.unique(
        np.asarray(formulas, dtype=np.str_), return_inverse=True, return_counts=True
    )
    if len(distinct) < max(folds, 3):
        raise DefectpoolError(
            f"training.folds: {folds} folds need at least {max(folds, 3)} hosts of different "
            f"formulas (one to test, one to validate, one to train), and there are "
            f"{len(distinct)}; take more materials or fewer folds"
        )
    draw = [seed_of("fold", seed, formula) for formula in distinct]
    order = sorted(range(len(distinct)), key=lambda i: (-counts[i], draw[i]))
    size, fold = [0] * folds, np.empty(len(distinct), dtype=np.int64)
    for i in order:
        fold[i] = size.index(min(size))
        size[fold[i]] += int(counts[i])
    return fold[rows]


def validation_rows(
    formulas: Sequence[str] | NDArray[np.str_],
    candidates: NDArray[np.bool_],
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Draw whole formulas among the candidates until they make up a share of them.

    Parameters
    ----------
    formulas
        Reduced formula of the host of each structure.
    candidates
        Structures that may be drawn (those that are not in the test fold).
    share
        Share of the candidates, in structures. At least one formula is drawn and one is left.
    seed
        Another seed, other formulas.

    Returns
    -------
    array of bool
        The structures that were drawn.
    """
    names = np.asarray(formulas, dtype=np.str_)
    distinct, counts = np.unique(names[candidates], return_counts=True)
    order = sorted(range(len(distinct)), key=lambda i: seed_of("validation", seed, distinct[i]))
    drawn, wanted = [], share * counts.sum()
    for i in order[:-1]:
        drawn.append(distinct[i])
        wanted -= counts[i]
        if wanted <= 0:
            break
    return candidates & np.isin(names, drawn)
