"""What the networks get wrong, and whether the graph shows the defect at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.evaluation.statistics import is_right

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

COLUMNS = [
    "structure", "host", "formula", "name", "label", "wrong", "repeats", "probability",
    "changed_sites", "sites",
]  # fmt: skip


def changed_sites(graphs: GraphSet, rounds: int) -> NDArray[np.int64]:
    """Count the sites of each graph that look like none of its twin.

    Two sites look alike if no network with so many convolutions can tell them apart (color
    refinement, see `batching.merging.refine_graphs`). A defective structure without such a site has
    nothing to show: a vacancy that is nobody's neighbor, for instance.

    Parameters
    ----------
    graphs
        Pairs of twins.
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


def errors(predictions: pd.DataFrame, graphs: GraphSet, rounds: int) -> pd.DataFrame:
    """List the structures that were predicted wrongly in any repeat.

    Parameters
    ----------
    predictions
        As `predictions.read_predictions` gives them.
    graphs
        The graphs that were predicted.
    rounds
        Number of convolutions.

    Returns
    -------
    DataFrame
        structure, host, formula, name, label, wrong (number of repeats), repeats, probability
        (their mean), changed_sites (see `changed_sites`; 0 in a defective structure: no network
        of this kind can know), sites.
    """
    shown = pd.DataFrame(
        {
            "structure": np.asarray(graphs.structure).astype(str),
            "changed_sites": changed_sites(graphs, rounds),
            "sites": np.diff(graphs.site_offset),
        }
    )
    table = (
        predictions.assign(wrong=~is_right(predictions))
        .groupby(["structure", "host", "formula", "name", "label"], sort=False)
        .agg(
            wrong=("wrong", "sum"),
            repeats=("wrong", "size"),
            probability=("probability", "mean"),
        )
        .reset_index()
    )
    table = table[table["wrong"] > 0].merge(shown, on="structure", validate="one_to_one")
    return table[COLUMNS].reset_index(drop=True)
