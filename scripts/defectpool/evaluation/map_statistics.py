"""Statistics of the map: thresholds and choices without leaks, a combined method, shares, costs.

What has to be chosen is chosen on one half of the formulas and used on the other, for all axes and
values alike: nobody knows the temperature of a cell beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from defectpool.config.map import TRAINING_AXES
from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.evaluation.found_defects import JUDGED
from defectpool.evaluation.statistics import Estimate
from defectpool.runtime.hashing import seed

# Methods whose scores have no natural threshold.
CALIBRATED = ("spglib", "soap")
COMBINED, NETWORK = "combined", "network"
KEY = ["axis", "value", "structure"]
POINT = ["axis", "value", "method"]

# Candidate thresholds: quantiles of the scores.
CANDIDATES = 400


def of_campaign(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers along axes on which the networks are those of the campaign; all if there is none."""
    found = answers[~answers["axis"].isin(TRAINING_AXES)]
    return answers if found.empty else found


def halves(formulas: Iterable[str]) -> dict[str, int]:
    """Half, 0 or 1, of each formula: every second one in the order of random keys.

    Raises
    ------
    DefectpoolError
        There are fewer than two formulas.
    """
    ordered = sorted(set(formulas), key=lambda formula: seed("map", formula))
    if len(ordered) < 2:
        raise DefectpoolError(
            f"map.hosts: {len(ordered)} formulas on the map, and thresholds need two; take "
            "more hosts"
        )
    return {formula: number % 2 for number, formula in enumerate(ordered)}


def with_halves(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers with the `half` of their formulas: one for all axes and choices."""
    return answers.assign(half=answers["formula"].map(halves(answers["formula"])))


def best_threshold(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Threshold of the largest balanced accuracy; above it is defective; the lowest of equals.

    Parameters
    ----------
    scores, labels
        Of structures that have a score, [n]; 1 defective, 0 pristine. Infinite scores are above
        every threshold.
    """
    defective, pristine = (np.sort(scores[labels == label]) for label in (1, 0))
    finite = np.unique(scores[np.isfinite(scores)])
    if not len(finite) or not len(defective) or not len(pristine):
        return 0.5
    some = finite[np.unique(np.linspace(0, len(finite) - 1, CANDIDATES).astype(int))]
    found = 1 - np.searchsorted(defective, some, side="right") / len(defective)
    passed = np.searchsorted(pristine, some, side="right") / len(pristine)
    return float(some[np.argmax(found + passed)])


def thresholds(answers: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Thresholds of each method for the formulas of half 0 and of half 1, chosen on the other.

    Parameters
    ----------
    answers
        Answers with their `half` (`with_halves`).
    """
    half = answers["half"].to_numpy()
    found = {}
    for method in dict.fromkeys(answers["method"]):
        if method not in CALIBRATED:
            found[method] = (0.5, 0.5)
            continue
        known = ((answers["method"] == method) & answers["score"].notna()).to_numpy()
        of_other = [answers[known & (half != own)] for own in (0, 1)]
        first, second = (
            best_threshold(part["score"].to_numpy(float), part["label"].to_numpy())
            for part in of_other
        )
        found[method] = (first, second)
    return found


def verdicts(
    raw: pd.DataFrame, networks: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Answers of all methods with their verdicts, the combined one among them, and thresholds."""
    answers = with_halves(raw.reset_index(drop=True))
    chosen = thresholds(of_campaign(answers))
    return with_combined(decided(answers, chosen), networks), chosen


def decided(answers: pd.DataFrame, chosen: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Answers with `probability`: 1 defective, 0 pristine, and the wrong one without an answer."""
    methods = zip(answers["method"], answers["half"], strict=True)
    limit = [chosen[method][half] for method, half in methods]
    verdict = (answers["score"] > limit).astype(float)
    return answers.assign(probability=verdict.where(answers["score"].notna(), 1 - answers["label"]))


def best_network(answers: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """Answers of the network that is best on the other half of the formulas, as `network`.

    Parameters
    ----------
    answers
        Rows of `decided`.
    networks
        Names of the methods that are networks.
    """
    half = answers["half"]
    parts = []
    for own in (0, 1):
        other = of_campaign(answers[half != own])
        right = {
            name: statistics.is_correct(other[other["method"] == name]).mean() for name in networks
        }
        best = max(networks, key=lambda name: right[name])
        parts.append(answers[(half == own) & (answers["method"] == best)])
    return pd.concat(parts).assign(method=NETWORK).sort_index()


def combined(lattice: pd.DataFrame, network: pd.DataFrame) -> pd.DataFrame:
    """Answers of the lattice where it has one, else those of the network.

    The lattice says when it does not know: a crystal near melting, too many defects, a disordered
    alloy, nothing that repeats. There is nothing to fit. The network is asked only then, so the
    time is that of the lattice, and both where it has no answer.

    Parameters
    ----------
    lattice, network
        Rows of `decided` of both methods.
    """
    first, second = (one.set_index(KEY) for one in (lattice, network))
    second = second.reindex(first.index)
    ask = first["score"].isna() & second["score"].notna()
    both = first.mask(ask, second)
    both["seconds"] = first["seconds"] + second["seconds"].where(first["score"].isna(), 0).fillna(0)
    both["label"] = first["label"]
    return both.reset_index()[lattice.columns].assign(method=COMBINED)


def with_combined(answers: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """Rows of `decided` and those of the combined method."""
    lattice = answers[answers["method"] == "lattice"]
    both = combined(lattice, best_network(answers, networks))
    return pd.concat([answers, both], ignore_index=True)


def table(answers: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Rows of `results/map.csv`: shares of each method at each point, with 95 % intervals.

    Parameters
    ----------
    answers
        Rows of `decided`, those of the combined method among them.
    resamples
        Bootstrap resamples of the formulas.

    Returns
    -------
    DataFrame
        axis, value, method, defect (a type, or all), n_formulas, n_structures; with `_low` and
        `_high` each: found (share of the defective structures called defective), false_alarms
        (share of the pristine ones called defective or left without an answer),
        balanced_accuracy (mean of found and 1 - false_alarms), site_accuracy, type_accuracy and
        name_accuracy (of all defective structures; empty where a method does not tell);
        unanswered (share without an answer), microseconds (median an atom).
    """
    rows = []
    for key, part in _judged(answers).groupby(POINT, sort=False):
        types = list(dict.fromkeys(part["defect"]))
        for defect in ["all", *types] if len(types) > 1 else types:
            chosen = part if defect == "all" else part[part["defect"] == defect]
            point: dict[str, Any] = dict(zip(POINT, key, strict=True))
            rows.append(point | {"defect": defect} | _shares(chosen, resamples))
    return pd.DataFrame(rows)


def _judged(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers in which no site, type or name is a wrong one, for methods that tell it at all."""
    judged = answers.copy()
    for what in JUDGED:
        column = f"{what}_correct"
        tells = answers[column].notna().groupby(answers["method"]).transform("any")
        judged[column] = answers[column].mask(tells, answers[column].fillna(0.0))
    return judged


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `table` on all types of defects together."""
    several = table.groupby(POINT)["defect"].transform("size") > 1
    return table[(table["defect"] == "all") | ~several]


def _shares(part: pd.DataFrame, resamples: int) -> dict[str, Any]:
    defective, pristine = (part[part["label"] == label] for label in (1, 0))
    found = _share(defective, defective["probability"], resamples)
    alarms = _share(pristine, pristine["probability"], resamples)
    return {
        "n_formulas": part["formula"].nunique(),
        "n_structures": len(part),
        **found.columns("found"),
        **alarms.columns("false_alarms"),
        **_balanced(part, resamples).columns("balanced_accuracy"),
        **_told(defective, "site_correct", resamples).columns("site_accuracy"),
        **_told(defective, "type_correct", resamples).columns("type_accuracy"),
        **_told(defective, "name_correct", resamples).columns("name_accuracy"),
        "unanswered": part["score"].isna().mean(),
        "microseconds": 1e6 * (part["seconds"] / part["atoms"]).median(),
    }


def _balanced(part: pd.DataFrame, resamples: int) -> Estimate:
    """Accuracy of pairs: there are as many pristine structures as defective ones.

    Where it is the same for each formula, resampling has no spread. Then the ends are those of
    both labels.
    """
    found = statistics.accuracy(part.assign(host=part["formula"]), resamples)
    if found.low < found.high:
        return found
    right = pd.Series(statistics.is_correct(part), index=part.index).astype(float)
    one, other = (
        _share(part[part["label"] == label], right[part["label"] == label], resamples)
        for label in (1, 0)
    )
    return Estimate(found.value, (one.low + other.low) / 2, (one.high + other.high) / 2)


def _share(part: pd.DataFrame, values: pd.Series, resamples: int) -> Estimate:
    """Share of structures for which a value is above one half, resampled by formula."""
    return statistics.share(part.assign(host=part["formula"]), values, resamples)


def _told(defective: pd.DataFrame, column: str, resamples: int) -> Estimate:
    """Share of right sites, types or names; NaN where a method does not tell."""
    if defective[column].isna().all():
        return Estimate(nan, nan, nan)
    return _share(defective, defective[column], resamples)


def differences(answers: pd.DataFrame, networks: Sequence[str], resamples: int) -> pd.DataFrame:
    """Paired differences of accuracy, network minus lattice, over formulas at each point.

    The network is that which is best on the other half of the formulas.

    Returns
    -------
    DataFrame
        axis, value, and with `_low` and `_high` each: lattice and network (balanced accuracies),
        difference.
    """
    lattice = answers[answers["method"] == "lattice"]
    network = best_network(answers, networks)
    rows = []
    for (axis, value), part in lattice.groupby(["axis", "value"], sort=False):
        other = network[(network["axis"] == axis) & (network["value"] == value)]
        first, second = (one.assign(host=one["formula"], repeat=0) for one in (part, other))
        both = statistics.compare(first, second, resamples)
        rows.append(
            {"axis": axis, "value": value}
            | _balanced(part, resamples).columns("lattice")
            | _balanced(other, resamples).columns(NETWORK)
            | {name: both[name] for name in both if name.startswith("difference")}
        )
    return pd.DataFrame(rows)


def costs(answers: pd.DataFrame, trained: dict[str, float]) -> pd.DataFrame:
    """Costs of each method: seconds to train, median microseconds an atom to answer.

    Parameters
    ----------
    answers
        Answers of all methods.
    trained
        Seconds of training of each network.

    Returns
    -------
    DataFrame
        method, seconds_to_train (0 where nothing is trained), microseconds, and the same for
        structures of fewer than 50 and of 200 and more atoms: microseconds_small, _large.
    """
    each = answers.assign(micro=1e6 * answers["seconds"] / answers["atoms"])
    sizes = {"": each["atoms"] > 0, "_small": each["atoms"] < 50, "_large": each["atoms"] >= 200}
    methods = list(dict.fromkeys(each["method"]))
    medians = {
        f"microseconds{end}": each[chosen].groupby("method")["micro"].median().reindex(methods)
        for end, chosen in sizes.items()
    }
    seconds = [sum(trained.values()) if m == COMBINED else trained.get(m, 0.0) for m in methods]
    found = pd.DataFrame({"seconds_to_train": seconds, **medians}, index=methods)
    return found.rename_axis("method").reset_index()


def trust(answers: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """How often lattice and network are right, by what the lattice says.

    Parameters
    ----------
    answers
        Rows of `decided`.
    networks
        Names of the methods that are networks; that which is best on the other half of the
        formulas is asked.

    Returns
    -------
    DataFrame
        lattice_says (defective, pristine, or why it has no answer), n_structures, lattice, network
        (shares that are classified correctly); the most frequent first.
    """
    answers = of_campaign(answers)
    lattice = answers[answers["method"] == "lattice"].set_index(KEY)
    network = best_network(answers, networks).set_index(KEY).reindex(lattice.index)
    says = lattice["score"].map({1.0: "defective", 0.0: "pristine"})
    says = says.fillna(lattice["reason"].map(kind_of_reason))
    right = pd.DataFrame(
        {
            "lattice_says": says,
            "lattice": statistics.is_correct(lattice),
            "network": statistics.is_correct(network),
        }
    )
    groups = right.groupby("lattice_says")
    found = groups.mean().assign(n_structures=groups.size()).reset_index()
    found = found.sort_values(["n_structures", "lattice_says"], ascending=[False, True])
    return found[["lattice_says", "n_structures", "lattice", "network"]]


def kind_of_reason(reason: str) -> str:
    """Reason without its figures: what stands before the colon, or behind it after a number."""
    before, _, behind = reason.partition(": ")
    return behind if before[:1].isdigit() else before
