"""Artifacts of a training: its networks, its history, its predictions and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.network.model_file import write_models
from defectpool.runtime import run_record
from defectpool.runtime.atomic_write import replacing
from defectpool.training.loop import FoldResult
from defectpool.training.objective import Objective

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet

NAMES = ("structure", "host", "formula", "pair", "name")


@dataclass(frozen=True)
class Artifacts:
    """Artifacts of a training.

    Attributes
    ----------
    model
        Settings, and the weights of each repeat and fold at its selected epoch
        (`network.model_file`).
    history
        One row an epoch: repeat, fold, epoch, loss, train_accuracy, validation_accuracy,
        test_accuracy, seconds.
    predictions
        One row a repeat and structure, made when it was in the test fold: structure, host,
        formula, pair, name, repeat, fold, and the columns of the objective (label, probability
        at the epoch up to which the last five were best on the validation formulas,
        probability_best_epoch at the epoch that was best on the test fold, as the published table
        chose it).
    audit
        Versions, device, threads, seconds, graphs a second, peak memory.
    """

    model: dict[str, Any]
    history: pd.DataFrame
    predictions: pd.DataFrame
    audit: dict[str, Any]

    def write(self, model: Path, history: Path, predictions: Path, audit: Path) -> None:
        """Write the four files, each whole or not at all."""
        write_models(model, self.model)
        for path, table in ((history, self.history), (predictions, self.predictions)):
            with replacing(path) as temporary:
                table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
        run_record.write(audit, self.audit)


def predictions_of(
    results: Sequence[FoldResult], graphs: GraphSet, objective: Objective
) -> pd.DataFrame:
    """Predictions of all folds, by repeat and then in the order of the graphs.

    Parameters
    ----------
    results
        What the training of each fold gave.
    graphs
        The graphs, labeled for the objective.
    objective
        What was learned.
    """
    tables = []
    for one in results:
        columns = objective.columns(
            np.asarray(graphs.label)[one.fold.test], one.best.answers, one.best_on_test.answers
        )
        columns = {"repeat": one.fold.repeat, "fold": one.fold.number} | columns
        tables.append(tested(graphs, one.fold.test, NAMES, **columns))
    return in_order(tables)


def tested(
    graphs: GraphSet, indices: NDArray[np.int64], names: Sequence[str] = NAMES, **columns: Any
) -> pd.DataFrame:
    """Table of tested structures: their names, then these columns."""
    texts = {name: np.asarray(getattr(graphs, name))[indices].astype(str) for name in names}
    return pd.DataFrame({**texts, **columns, "index": indices})


def in_order(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of `tested` together, by repeat and then in the order of the graphs."""
    table = pd.concat(tables).sort_values(["repeat", "index"], kind="stable")
    return table.drop(columns="index").reset_index(drop=True)
