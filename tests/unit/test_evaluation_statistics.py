"""Statistics against independent computations."""

import numpy as np
import pandas as pd
import pytest
from reporting_examples import predictions
from scipy import stats
from sklearn import metrics

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
    """The vectorized resampling against one that copies the rows of each sampled host."""
    frame = predictions(hosts=13)
    values = statistics.is_correct(frame).astype(float)
    fast = statistics.bootstrap_means(frame["host"], values, 50, 3)
    names = np.unique(frame["host"].to_numpy(dtype=str))
    drawn = np.random.default_rng(statistics.seed_of("bootstrap", 3)).integers(13, size=(50, 13))
    slow = [
        np.concatenate([values[(frame["host"] == names[i]).to_numpy()] for i in row]).mean()
        for row in drawn
    ]
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_resamples_do_not_depend_on_how_many_are_sampled_at_a_time(monkeypatch):
    frame = predictions(hosts=20)
    values = statistics.is_correct(frame).astype(float)
    whole = statistics.bootstrap_means(frame["host"], values, 101, 0)
    monkeypatch.setattr(statistics, "_SAMPLED_AT_ONCE", 100)
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


@pytest.mark.parametrize("correct", [True, False])
def test_interval_of_a_clean_sweep_is_clopper_and_pearsons(correct):
    frame = predictions(hosts=37)
    frame["probability"] = np.where((frame["label"] == 1) == correct, 0.9, 0.1)
    low, high = stats.binomtest(37 * correct, 37).proportion_ci(method="exact")
    found = statistics.accuracy(frame, 100)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == float(correct)


def test_metrics_of_a_run_against_scipy_and_plain_formulas():
    frame = predictions(hosts=50, skill=0.6)
    y, p = frame["label"].to_numpy(), frame["probability"].to_numpy()
    metrics = statistics.run_metrics(frame, 200)
    u = stats.mannwhitneyu(p[y == 1], p[y == 0]).statistic
    assert metrics["roc_auc"] == pytest.approx(u / (sum(y == 1) * sum(y == 0)))
    assert metrics["sensitivity"] == pytest.approx(np.mean(p[y == 1] > 0.5))
    assert metrics["specificity"] == pytest.approx(np.mean(p[y == 0] <= 0.5))
    assert metrics["balanced_accuracy"] == pytest.approx(
        (metrics["sensitivity"] + metrics["specificity"]) / 2
    )
    assert metrics["brier"] == pytest.approx(np.mean((p - y) ** 2))
    by_fold = [np.mean((p > 0.5)[g] == y[g]) for g in frame.groupby("fold").indices.values()]
    assert metrics["accuracy_worst_fold"] == pytest.approx(min(by_fold))
    assert metrics["accuracy_best_fold"] == pytest.approx(max(by_fold))
    assert (metrics["n_hosts"], metrics["n_formulas"]) == (50, 25)
    assert metrics["n_test"] == len(frame)


def test_metrics_are_averaged_over_repeats():
    frame = predictions(hosts=30, repeats=3)
    parts = [part for _, part in frame.groupby("repeat")]
    for name in ("roc_auc", "brier", "balanced_accuracy", "accuracy"):
        alone = [statistics.run_metrics(part, 100)[name] for part in parts]
        assert statistics.run_metrics(frame, 100)[name] == pytest.approx(np.mean(alone))


def test_one_label_alone_has_no_roc():
    frame = predictions(hosts=10).query("label == 1")
    metrics = statistics.run_metrics(frame, 100)
    assert np.isnan(metrics["roc_auc"]) and np.isnan(metrics["specificity"])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 2 * 0.5**5),
        (0, 10, 2 * 0.5**10),
        (1, 9, 2 * (1 + 10) * 0.5**10),
        (2, 8, 2 * (1 + 10 + 45) * 0.5**10),
        (5, 5, 1.0),
    ],
)
def test_exact_mcnemar_against_closed_forms(first, second, expected):
    found = statistics.mcnemar_p(first, second)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found == statistics.mcnemar_p(second, first)
    if first + second:
        assert found == pytest.approx(stats.binomtest(first, first + second).pvalue, rel=1e-12)


def test_wilson_interval_against_closed_forms_and_scipy():
    z = stats.norm.ppf(0.975)
    low, high = statistics.wilson_interval(np.array([0, 10]), np.array([10, 10]))
    np.testing.assert_allclose(high[0], z**2 / (10 + z**2), rtol=1e-12)
    np.testing.assert_allclose(low, [0, 10 / (10 + z**2)], atol=1e-15, rtol=1e-12)
    for k, n in ((1, 3), (7, 10), (81, 263), (999, 1000)):
        reference = stats.binomtest(k, n).proportion_ci(method="wilson")
        found = statistics.wilson_interval(np.array([k]), np.array([n]))
        np.testing.assert_allclose(found[:, 0], (reference.low, reference.high), rtol=1e-12)
    # Newcombe, Stat. Med. 17, 857 (1998), table I, method 3
    found = statistics.wilson_interval(np.array([81, 15]), np.array([263, 148]))
    np.testing.assert_allclose(found, [[0.2553, 0.0624], [0.3662, 0.1605]], atol=5e-5)


def test_mcnemar_is_a_binomial_test_of_the_disagreements():
    first, second = predictions(hosts=60, skill=0.4), predictions(hosts=60, skill=0.9, seed=1)
    found = statistics.compare(first, second, 300)
    correct_1, correct_2 = statistics.is_correct(first), statistics.is_correct(second)
    only_1, only_2 = np.sum(correct_1 & ~correct_2), np.sum(~correct_1 & correct_2)
    assert (found["only_first_correct"], found["only_second_correct"]) == (only_1, only_2)
    assert found["mcnemar_p"] == pytest.approx(
        stats.binomtest(int(only_1), int(only_1 + only_2)).pvalue
    )
    assert found["difference"] == pytest.approx(correct_2.mean() - correct_1.mean())


def test_paired_interval_is_that_of_scipy():
    first, second = predictions(hosts=60, skill=0.4), predictions(hosts=60, skill=0.9, seed=1)
    found = statistics.compare(first, second, 20_000)
    gain = statistics.is_correct(second).astype(float) - statistics.is_correct(first)
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
