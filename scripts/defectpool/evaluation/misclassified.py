"""Misclassified structures, and whether their graphs contain the defect at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.evaluation.statistics import is_correct

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

COLUMNS = [
    "structure", "host", "formula", "name", "label", "n_wrong", "repeats", "probability",
]  # fmt: skip


def changed_sites(graphs: GraphSet, rounds: int) -> NDArray[np.int64]:
    """Sites of each graph that have no equivalent in the other structure of its pair, counted.

    Sites are equivalent if no network with so many convolutions can tell them apart (color
    refinement, see `batching.merging.refine_graphs`). In a defective structure without such a site the network
    cannot detect the defect: a vacancy that is in no neighbor list, for instance.

    Parameters
    ----------
    graphs
        Pairs of a defective and a pristine structure.
    rounds
        Number of convolutions.

    Returns
    -------
    array
        Number of sites, [G].
    """
    from defectpool.batching.merging import refine_graphs

    color = refine_graphs(graphs, rounds).last
    _, pair = np.unique(graphs.pair, return_inverse=True)
    graph = np.repeat(np.arange(len(graphs.label)), np.diff(graphs.node_offset))
    key = pair[graph] * (int(color.max(initial=0)) + 1) + color
    defective = np.asarray(graphs.label)[graph] == 1
    elsewhere = np.where(defective, np.isin(key, key[~defective]), np.isin(key, key[defective]))
    return np.bincount(
        graph, weights=np.where(elsewhere, 0, graphs.node_multiplicity), minlength=len(graphs.label)
    ).astype(np.int64)


def misclassified(predictions: pd.DataFrame) -> pd.DataFrame:
    """Structures that were misclassified in at least one repeat.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` returns them.

    Returns
    -------
    DataFrame
        structure, host, formula, name, label, n_wrong (number of repeats with a wrong prediction),
        repeats, probability (mean over the repeats).
    """
    table = (
        predictions.assign(wrong=~is_correct(predictions))
        .groupby(["structure", "host", "formula", "name", "label"], sort=False)
        .agg(
            n_wrong=("wrong", "sum"),
            repeats=("wrong", "size"),
            probability=("probability", "mean"),
        )
        .reset_index()
    )
    return table.loc[table["n_wrong"] > 0, COLUMNS].reset_index(drop=True)


def with_graphs(table: pd.DataFrame, graphs: GraphSet, rounds: int) -> pd.DataFrame:
    """Misclassified structures with the columns changed_sites and sites.

    Parameters
    ----------
    table
        Rows of `misclassified`.
    graphs
        The graphs that were classified.
    rounds
        Number of convolutions.

    Returns
    -------
    DataFrame
        The same rows; where `changed_sites` of a defective structure is 0, no network with so many
        convolutions can detect the defect.
    """
    sizes = pd.DataFrame(
        {
            "structure": np.asarray(graphs.structure).astype(str),
            "changed_sites": changed_sites(graphs, rounds),
            "sites": np.diff(graphs.site_offset),
        }
    )
    return table.merge(sizes, on="structure", validate="one_to_one")
