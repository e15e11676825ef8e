"""Confidence intervals, classification metrics and paired tests, from stored predictions.

Structures of one host are correlated (a defective and its pristine supercell above all), so every
bootstrap resamples hosts, never structures. Repeats of the cross-validation are averaged within a
host first, because they add no hosts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.errors import DefectpoolError
from defectpool.runtime.hashing import seed as seed_of

LEVEL = 0.95

# Host indices sampled at a time: 32 MiB.
_SAMPLED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """Columns of a table: `name`, `name_low`, `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def counts(predictions: pd.DataFrame) -> dict[str, int]:
    """Sample sizes as columns of a table: `n_hosts` and `n_test` (structures)."""
    return {
        "n_hosts": int(predictions["host"].nunique()),
        "n_test": int(predictions["structure"].nunique()),
    }


def is_correct(predictions: pd.DataFrame, column: str = "probability") -> NDArray[np.bool_]:
    """Whether each prediction is correct; a probability above 0.5 means defective."""
    return np.asarray((predictions[column] > 0.5) == (predictions["label"] == 1))


def accuracy(
    predictions: pd.DataFrame, resamples: int, seed: int = 0, column: str = "probability"
) -> Estimate:
    """Accuracy with a 95 % interval from a bootstrap over hosts.

    If all predictions are correct (or all are wrong), resampling has no spread. The interval is
    then the exact binomial interval (Clopper and Pearson, Biometrika 26, 404 (1934)) with one
    trial per host.

    Parameters
    ----------
    predictions
        One row a test structure and repeat: host, structure, label and probabilities.
    resamples
        Bootstrap resamples.
    seed
        Seed of the resampling.
    column
        Column with the probability to evaluate.
    """
    correct = is_correct(predictions, column)
    return mean(predictions["host"], correct.astype(float), resamples, seed)


def mean(hosts: pd.Series, values: NDArray[np.float64], resamples: int, seed: int = 0) -> Estimate:
    """Mean of values from 0 to 1 with the interval of `accuracy`.

    Parameters
    ----------
    hosts, values
        Host and value of each row.
    resamples, seed
        Bootstrap over hosts.
    """
    value = float(values.mean())
    if value in (0.0, 1.0):
        miss = ((1 - LEVEL) / 2) ** (1 / hosts.nunique())
        return Estimate(value, miss, 1.0) if value else Estimate(value, 0.0, 1 - miss)
    return Estimate(value, *interval(hosts, values, resamples, seed))


def share(answers: pd.DataFrame, values: "pd.Series[float]", resamples: int) -> Estimate:
    """Share of structures for which a value is above one half, with its interval over hosts.

    Parameters
    ----------
    answers
        One row a structure: host, structure.
    values
        Value of each row.
    resamples
        Bootstrap resamples.

    Returns
    -------
    Estimate
        NaN where there is no structure.
    """
    if answers.empty:
        return Estimate(nan, nan, nan)
    return accuracy(answers.assign(label=1, probability=values), resamples)


def bootstrap_means(
    hosts: NDArray[np.str_] | pd.Series, values: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Bootstrap means of the values when hosts are sampled with replacement, [resamples].

    A sampled host contributes all its rows, so each mean is a ratio of two sums.
    """
    code, names = pd.factorize(np.asarray(hosts), sort=True)
    sums = np.bincount(code, weights=values)
    counts = np.bincount(code).astype(float)
    number = len(names)
    rng = np.random.default_rng(seed_of("bootstrap", seed))
    means = np.empty(resamples)
    step = max(1, _SAMPLED_AT_ONCE // number)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        sampled = rng.integers(number, size=(rows, number))
        sampled += number * np.arange(rows)[:, None]
        weight = np.bincount(sampled.ravel(), minlength=rows * number).reshape(rows, number)
        means[start : start + rows] = (weight @ sums) / (weight @ counts)
    return means


def interval(
    hosts: pd.Series, values: NDArray[np.float64], resamples: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the mean of the values, from a bootstrap over hosts: (low, high)."""
    means = bootstrap_means(hosts, values, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson_interval(successes: NDArray[Any], trials: NDArray[Any]) -> NDArray[np.float64]:
    """95 % Wilson score interval of a binomial proportion (J. Am. Stat. Assoc. 22, 209 (1927)).

    Parameters
    ----------
    successes, trials
        Counts, [n].

    Returns
    -------
    array
        Lower and upper ends, [2, n].
    """
    from scipy.stats import norm

    z = float(norm.isf((1 - LEVEL) / 2))
    share = np.asarray(successes) / np.asarray(trials)
    denominator = 1 + z**2 / trials
    center = (share + z**2 / (2 * trials)) / denominator
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / denominator
    return np.array([center - half, center + half])


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided p-value of the exact McNemar test (Psychometrika 12, 153 (1947)).

    Parameters
    ----------
    only_first, only_second
        Numbers of samples that only the first or only the second classifier got correct.
    """
    from scipy.stats import binom

    discordant = only_first + only_second
    return min(1.0, 2 * float(binom.cdf(min(only_first, only_second), discordant, 0.5)))


def roc_auc(predictions: pd.DataFrame) -> float:
    """Area under the ROC curve, averaged over repeats; NaN if only one label occurs."""
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
    """Mean of sensitivity and specificity, averaged over repeats."""
    from sklearn.metrics import balanced_accuracy_score

    return _over_repeats(
        predictions,
        lambda part: float(
            balanced_accuracy_score(part["label"], (part["probability"] > 0.5).astype(int))
        ),
    )


def brier(predictions: pd.DataFrame) -> float:
    """Brier score, the mean squared error of the probability; always predicting 0.5 gives 0.25."""
    from sklearn.metrics import brier_score_loss

    return _over_repeats(
        predictions,
        lambda part: float(brier_score_loss(part["label"], part["probability"], pos_label=1)),
    )


def _over_repeats(predictions: pd.DataFrame, metric: Callable[[pd.DataFrame], float]) -> float:
    return float(np.mean([metric(part) for _, part in predictions.groupby("repeat", sort=True)]))


def run_metrics(predictions: pd.DataFrame, resamples: int, seed: int = 0) -> dict[str, float | int]:
    """Metrics of one run: a row of `results/statistics.csv` without the run's key.

    Probabilities are those of the epoch selected on the validation formulas. `sensitivity` is the
    share of defective structures classified as defective, `specificity` the share of pristine
    structures classified as pristine.
    """
    correct = is_correct(predictions)
    defective = (predictions["label"] == 1).to_numpy()
    folds = predictions.assign(correct=correct).groupby(["repeat", "fold"])["correct"].mean()
    return {
        **accuracy(predictions, resamples, seed).columns("accuracy"),
        "balanced_accuracy": balanced_accuracy(predictions),
        "sensitivity": float(correct[defective].mean()) if defective.any() else nan,
        "specificity": float(correct[~defective].mean()) if (~defective).any() else nan,
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
        `difference` with its 95 % interval, the numbers of structures that only one of the two
        classified correctly, and the p-value of the exact McNemar test. The test assumes
        independent samples, so it uses the first repeat only. It treats the structures of one host
        as independent, which the interval does not.

    Raises
    ------
    DefectpoolError
        The two were not tested on the same structures.
    """
    key = ["structure", "repeat"]
    if len(first) != len(second) or first.duplicated(key).any() or second.duplicated(key).any():
        raise DefectpoolError(_UNPAIRED)
    a = first.set_index(key).sort_index()
    b = second.set_index(key).sort_index()
    if not a.index.equals(b.index) or not (a["label"] == b["label"]).all():
        raise DefectpoolError(_UNPAIRED)
    correct_a, correct_b = is_correct(a), is_correct(b)
    gain = correct_b.astype(float) - correct_a.astype(float)
    low, high = interval(a["host"], gain, resamples, seed)
    repeat = a.index.get_level_values("repeat")
    once = repeat == repeat.min()
    only_first = int(np.sum(once & correct_a & ~correct_b))
    only_second = int(np.sum(once & ~correct_a & correct_b))
    return {
        "difference": float(gain.mean()),
        "difference_low": low,
        "difference_high": high,
        "only_first_correct": only_first,
        "only_second_correct": only_second,
        "mcnemar_p": mcnemar_p(only_first, only_second),
        "n_hosts": int(a["host"].nunique()),
        "n_test": int(once.sum()),
    }


_UNPAIRED = (
    "the two runs were not tested on the same structures and cannot be compared; "
    "train both on the same graphs"
)
