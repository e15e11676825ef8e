"""Misclassified structures, and defects that a graph does not contain."""

import numpy as np
import pandas as pd
from crystal_examples import graphs, pair

from defectpool.batching.merging import refine_graphs
from defectpool.evaluation.misclassified import changed_sites, misclassified, with_graphs


def plain_count(graph_set, rounds):
    """Sites of each graph whose color no site of the other structure has, by sets."""
    color = refine_graphs(graph_set, rounds).last
    spans = [slice(*graph_set.node_offset[i : i + 2]) for i in range(len(graph_set))]
    found = []
    for i, span in enumerate(spans):
        other = next(
            j for j in range(len(graph_set))
            if j != i and graph_set.pair[j] == graph_set.pair[i]
        )  # fmt: skip
        known = set(color[spans[other]])
        found.append(
            sum(
                m
                for c, m in zip(color[span], graph_set.node_multiplicity[span], strict=True)
                if c not in known
            )
        )
    return found


def test_changed_sites():
    both = graphs([one for i in range(4) for d in ("vacancy", "substitution", "adatom")
                   for one in pair(i, d, 3, seed=i)])  # fmt: skip
    found = changed_sites(both, 3)
    assert list(found) == plain_count(both, 3)
    assert (found[both.label == 1] > 0).all()


def test_a_vacancy_in_no_neighbor_list():
    """With a cutoff below all distances there are no edges, and a vacancy leaves no trace."""
    blind = graphs(pair(1, "vacancy", 2), radius=1.0)
    assert (changed_sites(blind, 3) == 0).all()
    seen = graphs(pair(1, "substitution", 2), radius=1.0)  # but another element shows by itself
    assert list(changed_sites(seen, 3)) == [1, 0]


def test_misclassified_structures():
    graph_set = graphs([one for i in range(3) for one in pair(i, "vacancy", 2)])
    table = pd.DataFrame(
        {
            **{
                key: np.tile(getattr(graph_set, key).astype(str), 2)
                for key in ("structure", "host", "formula", "name")
            },
            "label": np.tile(graph_set.label, 2),
            "repeat": np.repeat([0, 1], 6),
            "probability": [0.9, 0.1, 0.2, 0.1, 0.9, 0.8, 0.9, 0.1, 0.4, 0.1, 0.9, 0.1],
        }
    )
    found = with_graphs(misclassified(table), graph_set, 3)
    assert list(found["structure"]) == [graph_set.structure[2], graph_set.structure[5]]
    assert list(found["n_wrong"]) == [2, 1]
    assert list(found["repeats"]) == [2, 2]
    np.testing.assert_allclose(found["probability"], [0.3, 0.45])
    assert found["changed_sites"].iloc[0] > 0
    assert list(found["sites"]) == [11, 12]
