"""Generalization of trained networks to other structures of the hosts they were tested on.

A network trained on one supercell is tested on other supercells or on displaced atoms. Each host is
classified by the network of the fold in which it was tested, so its formula remains unseen.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics

if TYPE_CHECKING:
    from defectpool.batching.dataset import Dataset
    from defectpool.graphs.graph_set import GraphSet
    from defectpool.network.cgcnn import CrystalGraphNetwork

RUN = ["defect", "trained", "pooling", "convolution"]
ACCURACY = ["accuracy", "accuracy_low", "accuracy_high", "n_hosts", "n_test"]


def test(
    models: Sequence[tuple[int, int, "CrystalGraphNetwork"]],
    tested: pd.DataFrame,
    graphs: "GraphSet",
    dataset: "Dataset",
) -> pd.DataFrame:
    """Predict structures with the networks that did not train on their hosts.

    Parameters
    ----------
    models, tested
        As `load_models` returns them, and the stored predictions of these networks.
    graphs, dataset
        The structures, as graphs and as a data set.

    Returns
    -------
    DataFrame
        structure, host, formula, name, sites, repeat, fold, label, probability.

    Raises
    ------
    DefectpoolError
        A host was tested in several folds of a repeat, as random splits do.
    """
    from defectpool.training.artifacts import in_order
    from defectpool.training.artifacts import tested as tested_rows
    from defectpool.training.step import predict

    folds = tested[["repeat", "fold", "host"]].drop_duplicates()
    if folds.duplicated(["repeat", "host"]).any():
        raise DefectpoolError(
            "training.split: with a random split every network has trained on structures of "
            "all hosts, so no host is left to test it on; choose formula, element or prototype"
        )
    sites = np.diff(graphs.site_offset)
    tables = []
    for repeat, fold, network in models:
        hosts = folds.loc[(folds["repeat"] == repeat) & (folds["fold"] == fold), "host"]
        rows = np.flatnonzero(np.isin(graphs.host, hosts.to_numpy(dtype=np.str_)))
        if not len(rows):
            continue
        tables.append(
            tested_rows(
                graphs,
                rows,
                ("structure", "host", "formula", "name"),
                sites=sites[rows],
                repeat=repeat,
                fold=fold,
                label=np.asarray(graphs.label)[rows].astype(int),
                probability=predict(network, dataset, rows).double().sigmoid().numpy(),
            )
        )
    if not tables:
        raise DefectpoolError(
            "no structure could be built of a host on which the networks were tested; the "
            "skipped.csv files under results/structures give the reasons"
        )
    return in_order(tables)


def test_runs(runs: Iterable[Mapping[str, str]], graphs: "GraphSet") -> pd.DataFrame:
    """Test the networks of several runs on the same structures.

    Parameters
    ----------
    runs
        For each run its defect, supercell, pooling and convolution, its `model` and its
        `predictions` (paths).
    graphs
        The structures.
    """
    from defectpool.batching.dataset import cpu_dataset
    from defectpool.evaluation.predictions import read_predictions
    from defectpool.network.model_file import load_models

    tables: list[pd.DataFrame] = []
    dataset: Dataset | None = None
    for run in runs:
        models = load_models(run["model"])
        size = models[0][2].settings
        if dataset is None:
            dataset = cpu_dataset(graphs, size.n_convolutions, size.gaussians)
        table = test(models, read_predictions(Path(run["predictions"])), graphs, dataset)
        for place, column in enumerate(RUN):
            table.insert(place, column, run["supercell" if column == "trained" else column])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def read(path: Path) -> pd.DataFrame:
    """Read the predictions of `test_runs` from a CSV file."""
    texts = (*RUN, "tested", "structure", "host", "formula", "name")
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)


def accuracies(predictions: pd.DataFrame, by: str, resamples: int) -> pd.DataFrame:
    """Accuracy of each run on each test set, with its 95 % interval.

    Parameters
    ----------
    predictions
        Rows of `test_runs`.
    by
        Column that distinguishes the test sets: `tested` (supercell) or `rattle` (Å).
    resamples
        Bootstrap resamples of the hosts.

    Returns
    -------
    DataFrame
        Columns `RUN`, `by`, `sites` (mean number of sites of the pristine structures),
        `accuracy` with its interval, `n_hosts`, `n_test`; in order of first appearance.
    """
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby([*RUN, by], sort=False):
        rows.append(
            dict(zip([*RUN, by], key, strict=True))
            | {
                "sites": float(part.loc[part["label"] == 0, "sites"].mean()),
                **statistics.accuracy(part, resamples).columns("accuracy"),
                **statistics.counts(part),
            }
        )
    return pd.DataFrame(rows, columns=[*RUN, by, "sites", *ACCURACY])
