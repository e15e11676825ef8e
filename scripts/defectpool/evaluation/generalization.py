"""Trained networks on other structures of the hosts that they were tested on.

A network that was trained on one supercell is shown another supercell, or displaced atoms. Each
host goes to the network of the fold in which it was tested, so the test stays on unseen formulas.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics

if TYPE_CHECKING:
    from defectpool.batching.cpu_dataset import CPUDataset
    from defectpool.graphs.graph_set import GraphSet
    from defectpool.network.cgcnn import CrystalGraphNetwork

ENTRY = ["defect", "trained", "pooling", "convolution"]
ACCURACY = ["accuracy", "accuracy_low", "accuracy_high", "n_hosts", "n_test"]


def test(
    models: Sequence[tuple[int, int, "CrystalGraphNetwork"]],
    tested: pd.DataFrame,
    graphs: "GraphSet",
    dataset: "CPUDataset",
) -> pd.DataFrame:
    """Predict structures with the networks to which their hosts are unknown.

    Parameters
    ----------
    models
        As `network.model_file.load_models` gives them: (repeat, fold, network).
    tested
        Predictions that were stored when these networks were trained; they tell in which fold of
        each repeat a host was tested. Structures of other hosts are left out.
    graphs, dataset
        The structures to predict, and the same as a data set.

    Returns
    -------
    DataFrame
        structure, host, formula, name, sites, repeat, fold, label, probability; ordered by repeat
        and then as in `graphs`.

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
            "training.split: a network of a random split has seen structures of every host, so "
            "there is none to test it on elsewhere; choose formula, element or prototype"
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
            "no structure of a host on which the networks were tested could be made; the lists of "
            "skipped structures give the reasons"
        )
    return in_order(tables)


def test_entries(
    entries: Iterable[tuple[dict[str, str], Path, Path]], graphs: "GraphSet"
) -> pd.DataFrame:
    """Test the networks of several entries of the table on the same structures.

    Parameters
    ----------
    entries
        For each what its rows are to be marked with (columns `ENTRY`), its `model.pt` and its
        `predictions.csv`.
    graphs
        The structures.
    """
    from defectpool.batching.cpu_dataset import CPUDataset
    from defectpool.evaluation.predictions import read_predictions
    from defectpool.network.model_file import load_models

    tables: list[pd.DataFrame] = []
    dataset: CPUDataset | None = None
    for marks, model, predictions in entries:
        models = load_models(model)
        size = models[0][2].settings
        if dataset is None:
            dataset = CPUDataset(graphs, size.n_convolutions, size.gaussians)
        table = test(models, read_predictions(predictions), graphs, dataset)
        for place, (key, value) in enumerate(marks.items()):
            table.insert(place, key, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def read(path: Path) -> pd.DataFrame:
    """Read predictions that `table.write_csv` wrote."""
    texts = (*ENTRY, "tested", "structure", "host", "formula", "name")
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)


def accuracies(predictions: pd.DataFrame, by: str, resamples: int) -> pd.DataFrame:
    """Accuracy of each entry on each kind of structures, with its 95 % interval.

    Parameters
    ----------
    predictions
        Rows of `test_entries`.
    by
        Column with the kind: `tested` (supercell) or `rattle` (Å).
    resamples
        Bootstrap resamples of the hosts.

    Returns
    -------
    DataFrame
        Columns `ENTRY`, `by`, `sites` (mean number of sites of the pristine structures),
        `accuracy` with its interval, `n_hosts`, `n_test`; in order of first appearance.
    """
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby([*ENTRY, by], sort=False):
        rows.append(
            dict(zip([*ENTRY, by], key, strict=True))
            | {
                "sites": float(part.loc[part["label"] == 0, "sites"].mean()),
                **statistics.accuracy(part, resamples).columns("accuracy"),
                **statistics.counts(part),
            }
        )
    return pd.DataFrame(rows, columns=[*ENTRY, by, "sites", *ACCURACY])
