"""Statistics against independent computations."""

import numpy as np
import pandas as pd
import pytest
from reporting_examples import predictions
from scipy import stats
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics


def test_accuracy_is_sklearns():
    frame = predictions(repeats=1)
    expected = metrics.accuracy_score(frame["label"], frame["probability"] > 0.5)
    assert statistics.accuracy(frame, 200).value == pytest.approx(expected)


def test_one_half_is_not_defective():
    frame = predictions(hosts=4).assign(probability=0.5)
    assert statistics.accuracy(frame, 100).value == pytest.approx((frame["label"] == 0).mean())


def test_interval_is_that_of_scipy():
    frame = predictions(hosts=80, repeats=2)
    found = statistics.accuracy(frame, 20_000)
    right = (frame["probability"] > 0.5) == (frame["label"] == 1)
    by_host = right.groupby(frame["host"]).agg(["sum", "count"])
    reference = stats.bootstrap(
        (by_host["sum"].to_numpy(), by_host["count"].to_numpy()),
        lambda hits, counts, axis: hits.sum(axis=axis) / counts.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.low == pytest.approx(reference.low, abs=0.004)
    assert found.high == pytest.approx(reference.high, abs=0.004)


def test_bootstrap_is_that_of_whole_hosts_put_together():
    """The vectorized resampling against one that copies the rows of each drawn host."""
    frame = predictions(hosts=13)
    values = statistics.is_right(frame).astype(float)
    fast = statistics.bootstrap_means(frame["host"], values, 50, 3)
    names = np.unique(frame["host"].to_numpy(dtype=str))
    drawn = np.random.default_rng(statistics.seed_of("bootstrap", 3)).integers(13, size=(50, 13))
    slow = [
        np.concatenate([values[(frame["host"] == names[i]).to_numpy()] for i in row]).mean()
        for row in drawn
    ]
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    frame = predictions(hosts=20)
    values = statistics.is_right(frame).astype(float)
    whole = statistics.bootstrap_means(frame["host"], values, 101, 0)
    monkeypatch.setattr(statistics, "_DRAWN_AT_ONCE", 100)
    np.testing.assert_array_equal(statistics.bootstrap_means(frame["host"], values, 101, 0), whole)


def test_order_of_rows_does_not_matter():
    frame = predictions(hosts=30, repeats=2)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert statistics.accuracy(frame, 300) == pytest.approx(statistics.accuracy(shuffled, 300))


def test_interval_covers_the_truth_and_one_over_structures_would_not():
    """Structures of a host share their fate; only a bootstrap over hosts knows."""
    truth, covered, covered_naively = 0.7, 0, 0
    trials = 200
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        fate = np.repeat(rng.random(60) < truth, 8)
        frame = pd.DataFrame(
            {
                "host": np.repeat([f"h{i}" for i in range(60)], 8),
                "label": 1,
                "probability": np.where(fate, 0.9, 0.1),
            }
        )
        found = statistics.accuracy(frame, 400, seed=trial)
        covered += found.low <= truth <= found.high
        naive = statistics.accuracy(
            frame.assign(host=np.arange(len(frame)).astype(str)), 400, seed=trial
        )
        covered_naively += naive.low <= truth <= naive.high
    assert 0.90 <= covered / trials <= 0.99
    assert covered_naively / trials < 0.75


def test_repeats_are_no_new_hosts():
    """Said ten times over, the same predictions are no more certain."""
    frame = predictions(hosts=40)
    often = pd.concat([frame.assign(repeat=r) for r in range(10)])
    assert statistics.accuracy(often, 500) == pytest.approx(statistics.accuracy(frame, 500))


@pytest.mark.parametrize("right", [True, False])
def test_interval_of_a_clean_sweep_is_clopper_and_pearsons(right):
    frame = predictions(hosts=37)
    frame["probability"] = np.where((frame["label"] == 1) == right, 0.9, 0.1)
    low, high = proportion_confint(37 * right, 37, alpha=0.05, method="beta")
    found = statistics.accuracy(frame, 100)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == float(right)


def test_figures_of_an_entry_are_computed_otherwise_too():
    frame = predictions(hosts=50, skill=0.6)
    y, p = frame["label"].to_numpy(), frame["probability"].to_numpy()
    figures = statistics.entry(frame, 200)
    u = stats.mannwhitneyu(p[y == 1], p[y == 0]).statistic
    assert figures["roc_auc"] == pytest.approx(u / (sum(y == 1) * sum(y == 0)))
    assert figures["sensitivity"] == pytest.approx(np.mean(p[y == 1] > 0.5))
    assert figures["specificity"] == pytest.approx(np.mean(p[y == 0] <= 0.5))
    assert figures["balanced_accuracy"] == pytest.approx(
        (figures["sensitivity"] + figures["specificity"]) / 2
    )
    assert figures["brier"] == pytest.approx(np.mean((p - y) ** 2))
    by_fold = [np.mean((p > 0.5)[g] == y[g]) for g in frame.groupby("fold").indices.values()]
    assert figures["accuracy_worst_fold"] == pytest.approx(min(by_fold))
    assert figures["accuracy_best_fold"] == pytest.approx(max(by_fold))
    assert (figures["n_hosts"], figures["n_formulas"]) == (50, 25)
    assert figures["n_test"] == len(frame)


def test_figures_are_averaged_over_repeats():
    frame = predictions(hosts=30, repeats=3)
    parts = [part for _, part in frame.groupby("repeat")]
    for name in ("roc_auc", "brier", "balanced_accuracy", "accuracy"):
        alone = [statistics.entry(part, 100)[name] for part in parts]
        assert statistics.entry(frame, 100)[name] == pytest.approx(np.mean(alone))


def test_one_label_alone_has_no_roc():
    frame = predictions(hosts=10).query("label == 1")
    figures = statistics.entry(frame, 100)
    assert np.isnan(figures["roc_auc"]) and np.isnan(figures["specificity"])


def test_mcnemar_is_a_binomial_test_of_the_disagreements():
    first, second = predictions(hosts=60, skill=0.4), predictions(hosts=60, skill=0.9, seed=1)
    found = statistics.compare(first, second, 300)
    right_1, right_2 = statistics.is_right(first), statistics.is_right(second)
    only_1, only_2 = np.sum(right_1 & ~right_2), np.sum(~right_1 & right_2)
    assert (found["only_first_right"], found["only_second_right"]) == (only_1, only_2)
    assert found["mcnemar_p"] == pytest.approx(
        stats.binomtest(int(only_1), int(only_1 + only_2)).pvalue
    )
    assert found["difference"] == pytest.approx(right_2.mean() - right_1.mean())


def test_paired_interval_is_that_of_scipy():
    first, second = predictions(hosts=60, skill=0.4), predictions(hosts=60, skill=0.9, seed=1)
    found = statistics.compare(first, second, 20_000)
    gain = statistics.is_right(second).astype(float) - statistics.is_right(first)
    by_host = pd.Series(gain).groupby(first["host"]).agg(["sum", "count"])
    reference = stats.bootstrap(
        (by_host["sum"].to_numpy(), by_host["count"].to_numpy()),
        lambda gains, counts, axis: gains.sum(axis=axis) / counts.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found["difference_low"] == pytest.approx(reference.low, abs=0.006)
    assert found["difference_high"] == pytest.approx(reference.high, abs=0.006)


def test_comparison_pairs_by_structure_and_not_by_row():
    first, second = predictions(hosts=20, repeats=2), predictions(hosts=20, repeats=2, seed=5)
    shuffled = second.sample(frac=1, random_state=2)
    assert statistics.compare(first, shuffled, 200) == statistics.compare(first, second, 200)


def test_comparison_with_itself_and_turned_round():
    first, second = predictions(hosts=30), predictions(hosts=30, seed=7)
    same = statistics.compare(first, first, 200)
    assert (same["difference"], same["difference_low"], same["mcnemar_p"]) == (0, 0, 1)
    there, back = statistics.compare(first, second, 200), statistics.compare(second, first, 200)
    assert there["difference"] == -back["difference"]
    assert there["difference_low"] == pytest.approx(-back["difference_high"])
    assert there["mcnemar_p"] == back["mcnemar_p"]


def test_different_structures_are_not_compared():
    frame = predictions(hosts=10)
    with pytest.raises(DefectpoolError, match="same structures"):
        statistics.compare(frame, frame.iloc[:-2], 100)
    renamed = frame.assign(structure=frame["structure"].str.replace("h3", "other"))
    with pytest.raises(DefectpoolError, match="same structures"):
        statistics.compare(frame, renamed, 100)
