"""How sure we are: intervals, paired differences and tests, from stored predictions.

Structures of one host are alike (a defect and its pristine supercell above all), so hosts are what is
drawn in every bootstrap, never structures. With several repeats, a host's figures are averaged
over them first: repeats are no new hosts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.runtime.hashing import seed as seed_of

LEVEL = 0.95

# Counts drawn at a time: 32 MiB.
_DRAWN_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """Return the columns of a table that hold it: `name`, `name_low`, `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def counts(predictions: pd.DataFrame) -> dict[str, int]:
    """Return the columns of a table that say of how much: `n_hosts`, `n_test` (structures)."""
    return {
        "n_hosts": int(predictions["host"].nunique()),
        "n_test": int(predictions["structure"].nunique()),
    }


def is_right(predictions: pd.DataFrame, column: str = "probability") -> NDArray[np.bool_]:
    """Whether each prediction is right: more than one half means defective."""
    return np.asarray((predictions[column] > 0.5) == (predictions["label"] == 1))


def accuracy(
    predictions: pd.DataFrame, resamples: int, seed: int = 0, column: str = "probability"
) -> Estimate:
    """Share of right predictions, with a 95 % interval from a bootstrap over hosts.

    Where every prediction is right (or every one wrong) resampling shows no spread at all; the
    interval is then the exact binomial one (Clopper and Pearson, Biometrika 26, 404 (1934)) of as
    many trials as there are hosts.

    Parameters
    ----------
    predictions
        One row a test structure and repeat: host, structure, label and probabilities.
    resamples
        Bootstrap resamples.
    seed
        Seed of the resampling.
    column
        The probability that is judged.
    """
    right = is_right(predictions, column)
    value = float(right.mean())
    hosts = predictions["host"].nunique()
    if value in (0.0, 1.0):
        miss = ((1 - LEVEL) / 2) ** (1 / hosts)
        return Estimate(value, miss, 1.0) if value else Estimate(value, 0.0, 1 - miss)
    low, high = interval(predictions["host"], right.astype(float), resamples, seed)
    return Estimate(value, low, high)


def bootstrap_means(
    hosts: NDArray[np.str_] | pd.Series, values: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of the values when hosts are drawn with replacement, [resamples].

    A host brings all its rows each time that it is drawn, so the mean is a ratio of two sums.
    """
    code, names = pd.factorize(np.asarray(hosts), sort=True)
    sums = np.bincount(code, weights=values)
    counts = np.bincount(code).astype(float)
    number = len(names)
    rng = np.random.default_rng(seed_of("bootstrap", seed))
    means = np.empty(resamples)
    step = max(1, _DRAWN_AT_ONCE // number)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(number, size=(rows, number))
        drawn += number * np.arange(rows)[:, None]
        weight = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        means[start : start + rows] = (weight @ sums) / (weight @ counts)
    return means


def interval(
    hosts: pd.Series, values: NDArray[np.float64], resamples: int, seed: int
) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the values' mean, from a bootstrap over hosts."""
    means = bootstrap_means(hosts, values, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def roc_auc(predictions: pd.DataFrame) -> float:
    """Area under the ROC curve, averaged over repeats; not defined for one label alone."""
    from sklearn.metrics import roc_auc_score

    return _over_repeats(
        predictions,
        lambda part: (
            float(roc_auc_score(part["label"], part["probability"]))
            if part["label"].nunique() == 2
            else nan
        ),
    )


def balanced_accuracy(predictions: pd.DataFrame) -> float:
    """Mean of the shares of defective and of pristine structures that are found as such."""
    from sklearn.metrics import balanced_accuracy_score

    return _over_repeats(
        predictions,
        lambda part: float(
            balanced_accuracy_score(part["label"], (part["probability"] > 0.5).astype(int))
        ),
    )


def brier(predictions: pd.DataFrame) -> float:
    """Mean squared error of the probability (Brier score): 0 is perfect, 0.25 says one half."""
    from sklearn.metrics import brier_score_loss

    return _over_repeats(
        predictions,
        lambda part: float(brier_score_loss(part["label"], part["probability"], pos_label=1)),
    )


def _over_repeats(predictions: pd.DataFrame, figure: Callable[[pd.DataFrame], float]) -> float:
    return float(np.mean([figure(part) for _, part in predictions.groupby("repeat", sort=True)]))


def entry(predictions: pd.DataFrame, resamples: int, seed: int = 0) -> dict[str, float | int]:
    """All figures of one entry: a row of `results/statistics.csv` without its key.

    Probabilities are those of the epoch that the validation formulas chose. `sensitivity` is the
    share of the defective structures found, `specificity` that of the pristine ones.
    """
    right = is_right(predictions)
    defective = (predictions["label"] == 1).to_numpy()
    folds = predictions.assign(right=right).groupby(["repeat", "fold"])["right"].mean()
    return {
        **accuracy(predictions, resamples, seed).columns("accuracy"),
        "balanced_accuracy": balanced_accuracy(predictions),
        "sensitivity": float(right[defective].mean()) if defective.any() else nan,
        "specificity": float(right[~defective].mean()) if (~defective).any() else nan,
        "roc_auc": roc_auc(predictions),
        "brier": brier(predictions),
        "accuracy_worst_fold": float(folds.min()),
        "accuracy_best_fold": float(folds.max()),
        "repeats": int(predictions["repeat"].nunique()),
        "n_hosts": int(predictions["host"].nunique()),
        "n_formulas": int(predictions["formula"].nunique()),
        "n_test": int(predictions["structure"].nunique()),
    }


def compare(
    first: pd.DataFrame, second: pd.DataFrame, resamples: int, seed: int = 0
) -> dict[str, float | int]:
    """Difference in accuracy of two classifiers on the same structures, second minus first.

    Parameters
    ----------
    first, second
        Predictions of the same structures in the same repeats.
    resamples, seed
        Bootstrap over hosts of the paired difference.

    Returns
    -------
    dict
        `difference` with its 95 % interval; how many predictions only one of the two had right;
        and the p-value of the exact McNemar test (Psychometrika 12, 153 (1947)). McNemar's test
        needs independent trials, so it counts one repeat, the first; and it takes twins of a
        host for independent, which the interval does not.

    Raises
    ------
    DefectpoolError
        The two were not tested on the same structures.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    key = ["structure", "repeat"]
    if len(first) != len(second) or first.duplicated(key).any() or second.duplicated(key).any():
        raise DefectpoolError(_UNPAIRED)
    a = first.set_index(key).sort_index()
    b = second.set_index(key).sort_index()
    if not a.index.equals(b.index) or not (a["label"] == b["label"]).all():
        raise DefectpoolError(_UNPAIRED)
    right_a, right_b = is_right(a), is_right(b)
    gain = right_b.astype(float) - right_a.astype(float)
    low, high = interval(a["host"], gain, resamples, seed)
    repeat = a.index.get_level_values("repeat")
    once = repeat == repeat.min()
    table = [
        [int(np.sum(once & right_a & right_b)), int(np.sum(once & right_a & ~right_b))],
        [int(np.sum(once & ~right_a & right_b)), int(np.sum(once & ~right_a & ~right_b))],
    ]
    return {
        "difference": float(gain.mean()),
        "difference_low": low,
        "difference_high": high,
        "only_first_right": table[0][1],
        "only_second_right": table[1][0],
        "mcnemar_p": float(mcnemar(table, exact=True).pvalue),
        "n_hosts": int(a["host"].nunique()),
        "n_test": int(once.sum()),
    }


_UNPAIRED = (
    "two entries were not tested on the same structures, so they cannot be compared in pairs; "
    "train both from the same graphs"
)
