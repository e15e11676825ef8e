"""Structures of the map to look at: found defects, and the most confident mistakes.

What is shown follows from rules and hashes; nothing is picked by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.evaluation.map_confusion import NO_ANSWER, SEVERAL, TRUE
from defectpool.evaluation.statistics import is_correct
from defectpool.runtime.hashing import digest
from defectpool.structures.defect_labels import DEFECT_TYPES

if TYPE_CHECKING:
    from defectpool.structures.structure_files import DefectStructure

THERMAL = 300.0  # K


def shown_network(named: pd.DataFrame, networks: Sequence[str]) -> str:
    """Network whose scores of sites are shown: the first that names types, else the first."""
    types = named[named["called"].isin(DEFECT_TYPES)]
    return next((name for name in networks if (types["method"] == name).any()), networks[0])


def found(named: pd.DataFrame, network: str) -> pd.DataFrame:
    """A structure of each type, and a pristine one, of which the verdict of a network is right.

    They come from the temperature nearest to 300 K; without that axis from the first point. The
    first one in the order of a hash is taken.

    Parameters
    ----------
    named
        Rows of `map_confusion.with_names`.
    network
        Method that scores sites.
    """
    own = named[named["method"] == network]
    thermal = own[own["axis"] == "temperature"]
    if len(thermal):
        apart = (thermal["value"].astype(float) - THERMAL).abs()
        here = thermal[apart == apart.min()]
    else:
        here = own[(own["axis"] == own["axis"].iloc[0]) & (own["value"] == own["value"].iloc[0])]
    right = here[is_correct(here)]
    order = right["structure"].map(lambda name: digest("show", name))
    firsts = right.assign(order=order).sort_values("order").drop_duplicates("truth")
    firsts = firsts[firsts["truth"].isin(TRUE)].drop(columns="order")
    return firsts.sort_values("truth", key=lambda truth: truth.map([*TRUE[1:], TRUE[0]].index))


def mistakes(named: pd.DataFrame, method: str) -> pd.DataFrame:
    """Most confident mistake of a method along each axis, no pair twice.

    A mistake is a wrong verdict; where there is none along an axis, a wrong type. Of equally
    confident ones the earlier value of the axis comes first, then the order of a hash. No answer
    is no mistake.

    Parameters
    ----------
    named
        Rows of `map_confusion.with_names`.
    method
        Method that tells how sure it is.
    """
    own = named[(named["method"] == method) & (named["called"] != NO_ANSWER)]
    own = own.assign(
        verdict=is_correct(own),
        place=pd.factorize(own["axis"] + " " + own["value"])[0],
        order=own["structure"].map(lambda name: digest("show", name)),
        pair=own["structure"].str.rpartition("@")[0].str.removesuffix(":pristine"),
    )
    ranked = own[~is_right(own)].sort_values(
        ["verdict", "confidence", "place", "order"], ascending=[True, False, True, True]
    )
    chosen: list[int] = []
    shown: set[str] = set()
    for axis in dict.fromkeys(own["axis"]):
        new = ranked[(ranked["axis"] == axis) & ~ranked["pair"].isin(shown)]
        chosen += new.index[:1].tolist()
        shown |= set(new["pair"].iloc[:1])
    return named.loc[chosen]


def is_right(named: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each verdict is right, and the type of the one defect where it is told, [rows]."""
    tells = named["called"].isin([*DEFECT_TYPES, SEVERAL]) & named["truth"].isin(DEFECT_TYPES)
    misnamed = tells & (named["called"] != named["truth"])
    return np.asarray(is_correct(named) & ~misnamed)


def relaxed(structures: Iterable[DefectStructure]) -> list[DefectStructure]:
    """First relaxed structure of each type of single defect, in the order of a hash."""
    best: dict[str, DefectStructure] = {}
    for one in structures:
        if not one.label or one.defect not in DEFECT_TYPES or "relaxed" not in one.displacements:
            continue
        first = best.setdefault(one.defect, one)
        best[one.defect] = min(first, one, key=lambda each: digest("show", each.structure))
    return [best[name] for name in DEFECT_TYPES if name in best]
