"""Splits in which no chemical formula stands on both sides, and the usual one, in which they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.runtime.hashing import seed as seed_of

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet


@dataclass(frozen=True)
class FoldAssignment:
    """Fold assignment of structures.

    Attributes
    ----------
    fold
        Fold in which each structure is tested, [structures].
    group
        Group of each structure, [structures]: validation takes whole groups.
    excluded
        Structures that may not be trained on in a fold, though they are tested in another,
        [folds, structures].
    """

    fold: NDArray[np.int64]
    group: NDArray[np.str_]
    excluded: NDArray[np.bool_]

    def indices(
        self, fold: int, validation: float, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the indices to train on, to validate on and to test on.

        Raises
        ------
        DefectpoolError
            There is nothing left to train on.
        """
        test = self.fold == fold
        candidates = ~test & ~self.excluded[fold]
        if len(np.unique(self.group[candidates])) < 2:
            raise DefectpoolError(
                f"training.split: fold {fold} leaves too little to train and validate on; take "
                "more materials or more folds"
            )
        validation_set = sample_validation(self.group, candidates, validation, seed)
        train = candidates & ~validation_set
        return np.flatnonzero(train), np.flatnonzero(validation_set), np.flatnonzero(test)


def assign_folds(
    split: str,
    graphs: GraphSet,
    folds: int,
    seed: int,
    prototypes: Mapping[str, str] | None = None,
) -> FoldAssignment:
    """Fold of each structure of a campaign, and what each fold may not train on.

    Parameters
    ----------
    split
        What is unseen in the test:

        - `formula`: all hosts of a formula are in one fold.
        - `random`: nothing. Each structure is assigned by itself, as usual in the field: a
          defective supercell and its pristine one, or two polymorphs, may stand on both sides.
        - `element`: an element. Elements are split into folds; in each fold no structure with one
          of its elements, be it in the host or as an impurity, is trained on. A formula is tested
          in the fold of one of its elements, chosen at random.
        - `prototype`: a structure type. Formulas of the test fold are not trained on in another
          prototype either.
    graphs
        Structures with their hosts and elements.
    folds, seed
        Number of folds; another seed, other folds.
    prototypes
        Prototype of each host, for `prototype`.

    Raises
    ------
    DefectpoolError
        There are too few groups, or the split or a host's prototype is unknown.
    """
    formulas = np.asarray(graphs.formula, dtype=np.str_)
    excluded = np.zeros((folds, len(formulas)), dtype=bool)
    if split == "formula":
        return FoldAssignment(host_disjoint_folds(formulas, folds, seed), formulas, excluded)
    if split == "random":
        structures = np.asarray(graphs.structure, dtype=np.str_)
        return FoldAssignment(host_disjoint_folds(structures, folds, seed), structures, excluded)
    if split == "prototype":
        fold = _prototype_folds(graphs, folds, seed, prototypes or {})
        for k in range(folds):
            excluded[k] = (fold != k) & np.isin(formulas, formulas[fold == k])
        return FoldAssignment(fold, formulas, excluded)
    if split == "element":
        fold, excluded = _element_folds(graphs, folds, seed)
        return FoldAssignment(fold, formulas, excluded)
    raise DefectpoolError(f"training.split: {split!r} is unknown")


def _prototype_folds(
    graphs: GraphSet, folds: int, seed: int, prototypes: Mapping[str, str]
) -> NDArray[np.int64]:
    """Fold of each structure by the prototype of its host."""
    missing = sorted({str(host) for host in graphs.host} - set(prototypes))
    if missing:
        raise DefectpoolError(
            f"training.split: prototype, and that of {', '.join(missing[:3])} is unknown"
        )
    types = np.array([prototypes[str(host)] for host in graphs.host], dtype=np.str_)
    return host_disjoint_folds(types, folds, seed, "hosts of different prototypes")


def _element_folds(
    graphs: GraphSet, folds: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Fold of each structure by an element of its host, and what each fold excludes."""
    present = _elements(graphs)
    picked = _picked_elements(graphs, present, seed)
    _, pair = np.unique(graphs.pair, return_inverse=True)
    fold = host_disjoint_folds(picked, folds, seed, "elements to hold out")
    excluded = np.zeros((folds, len(pair)), dtype=bool)
    for k in range(folds):
        held_out = np.unique(picked[fold == k]).astype(np.int64)
        # the impurity excludes both structures of its pair, or labels would be unbalanced
        in_pair = np.bincount(pair, weights=present[:, held_out].any(axis=1)) > 0
        excluded[k] = (fold != k) & in_pair[pair]
    return fold, excluded


def _elements(graphs: GraphSet) -> NDArray[np.bool_]:
    """Whether each element occurs in each structure, [structures, atomic numbers]."""
    found = np.zeros((len(graphs.label), 128), dtype=bool)
    found[np.repeat(np.arange(len(found)), np.diff(graphs.node_offset)), graphs.atomic_number] = 1
    return found


def _picked_elements(graphs: GraphSet, present: NDArray[np.bool_], seed: int) -> NDArray[np.str_]:
    """Draw the element of its hosts, not of impurities, that each formula is tested for."""
    picked = np.empty(len(graphs.label), dtype="U3")
    names, formula = np.unique(graphs.formula, return_inverse=True)
    for number, name in enumerate(names):
        rows = formula == number
        elements = np.flatnonzero(present[rows & (graphs.label == 0)].any(axis=0))
        keys = [seed_of("element", seed, name, int(z)) for z in elements]
        picked[rows] = str(elements[int(np.argmin(keys))])
    return picked


def host_disjoint_folds(
    formulas: Sequence[str] | NDArray[np.str_],
    folds: int,
    seed: int,
    what: str = "hosts of different formulas",
) -> NDArray[np.int64]:
    """Fold of each structure, by the formula of its host.

    All polymorphs of a formula fall into one fold. Formulas are split from the largest (most
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
    what
        What is split, for the message should there be too few.

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
            f"training.folds: {folds} folds need at least {max(folds, 3)} {what} "
            f"(one to test, one to validate, one to train), and there are "
            f"{len(distinct)}; take more materials or fewer folds"
        )
    keys = [seed_of("fold", seed, formula) for formula in distinct]
    order = sorted(range(len(distinct)), key=lambda i: (-counts[i], keys[i]))
    size, fold = [0] * folds, np.empty(len(distinct), dtype=np.int64)
    for i in order:
        fold[i] = size.index(min(size))
        size[fold[i]] += int(counts[i])
    return fold[rows]


def sample_validation(
    formulas: Sequence[str] | NDArray[np.str_],
    candidates: NDArray[np.bool_],
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Sample whole formulas among the candidates until they make up a share of them.

    Parameters
    ----------
    formulas
        Reduced formula of the host of each structure.
    candidates
        Structures that may be taken (those that are not in the test fold).
    share
        Share of the candidates, in structures. At least one formula is taken and one is left.
    seed
        Another seed, other formulas.

    Returns
    -------
    array of bool
        The structures of the validation set.
    """
    names = np.asarray(formulas, dtype=np.str_)
    distinct, counts = np.unique(names[candidates], return_counts=True)
    order = sorted(range(len(distinct)), key=lambda i: seed_of("validation", seed, distinct[i]))
    taken, wanted = [], share * counts.sum()
    for i in order[:-1]:
        taken.append(distinct[i])
        wanted -= counts[i]
        if wanted <= 0:
            break
    return candidates & np.isin(names, taken)


def of_some_hosts(
    structures: NDArray[np.int64], hosts: NDArray[Any], number: int, seed: int
) -> NDArray[np.int64]:
    """Structures of so many hosts, those with the smallest random keys.

    Parameters
    ----------
    structures
        Indices of structures, as for a training set.
    hosts
        Host of every structure.
    number
        Number of hosts; there may be fewer.
    seed
        Another seed, other hosts.

    Returns
    -------
    array
        Indices; those for a larger number contain those for each smaller one.
    """
    names = hosts[structures]
    distinct = sorted({str(name) for name in names}, key=lambda name: seed_of("hosts", seed, name))
    return structures[np.isin(names, distinct[:number])]
