"""What the page of the map counts, withholds and shows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from defectpool.evaluation import map_confusion, map_coverage, map_examples
from defectpool.evaluation.map_confusion import CALLED, NO_ANSWER, TRUE, with_names
from defectpool.evaluation.statistics import is_correct
from defectpool.structures.defect_labels import DEFECT_TYPES


def answers(n=400, seed=0):
    """Answers of a method that names types, one that does not, and one that is often silent."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        defect = [*DEFECT_TYPES, "dense"][i % 5]
        label, value = int(random.integers(2)), ["100", "300"][i % 2]
        point = {"axis": "temperature", "value": value, "structure": f"h{i}:{defect}@{value}"}
        for method in ("lattice", "sites", "max"):
            score = random.random() if random.random() > 0.2 or method != "lattice" else np.nan
            silent = bool(np.isnan(score))
            called = (
                "" if silent else str(random.choice(DEFECT_TYPES)) if score > 0.5 else "pristine"
            )
            if method == "max":
                called = "" if silent else "defective" if score > 0.5 else "pristine"
            rows.append(
                point
                | {"formula": f"F{i % 7}", "defect": defect, "label": label, "method": method}
                | {"score": score, "called": called, "reason": "near melting" * silent}
                | {"probability": 1 - label if silent else float(score > 0.5)}
                | {"confidence": np.nan if silent else round(max(score, 1 - score), 2)}
            )
    return pd.DataFrame(rows)


def test_each_structure_of_one_defect_is_counted_once():
    named = with_names(answers())
    one = map_confusion.single(named)
    assert map_confusion.naming(one) == ["lattice", "sites"]
    for method, part in one.groupby("method"):
        counts = map_confusion.confusion(part)
        assert list(counts.index) == list(TRUE) and list(counts.columns) == list(CALLED)
        for truth in TRUE:
            # counted by hand
            rows = part[(part["label"] == 0) if truth == "pristine"
                        else (part["label"] == 1) & (part["defect"] == truth)]  # fmt: skip
            assert counts.loc[truth].sum() == len(rows)
            right = rows["score"].notna() & (rows["called"] == truth)
            assert counts.loc[truth, truth] == right.sum()
        assert counts[NO_ANSWER].sum() == part["score"].isna().sum()
        assert (counts["defective"].sum() > 0) == (method == "max")


def test_a_method_without_names_is_counted_by_its_verdict():
    rows = answers(4)[lambda rows: rows["method"] == "max"].assign(called="")
    assert with_names(rows)["called"].tolist() == [
        "defective" if p > 0.5 else "pristine" for p in rows["probability"]
    ]


def test_the_coverage_curve_is_that_of_a_slow_count():
    for _, part in answers().groupby("method"):
        curve = map_coverage.coverage_curve(part)
        assert all(a < b for a, b in pairwise(curve["coverage"]))
        assert all(a > b for a, b in pairwise(curve["confidence"]))
        for least, coverage, accuracy in curve.itertuples(index=False):
            kept = part[part["score"].notna() & (part["confidence"] >= least)]
            assert coverage == pytest.approx(len(kept) / len(part))
            assert accuracy == pytest.approx(is_correct(kept).mean())
        assert curve["coverage"].iloc[-1] == pytest.approx(part["score"].notna().mean())


def test_the_coverage_at_which_so_many_are_right():
    curve = pd.DataFrame({"coverage": [0.2, 0.5, 0.9], "accuracy": [1.0, 0.99, 0.9]})
    assert map_coverage.coverage_at(curve) == 0.5
    assert map_coverage.coverage_at(curve, 0.999) == 0.2
    assert map_coverage.coverage_at(curve.assign(accuracy=0.5)) == 0
    rows = answers()
    silent = rows["method"] == "max"
    told = map_coverage.coverage_table(rows.assign(confidence=rows["confidence"].mask(silent)))
    assert told["method"].tolist() == ["lattice", "sites"]


def test_found_structures_are_one_of_each_type_at_300_k_in_any_order():
    named = with_names(answers())
    found = map_examples.found(named, "sites")
    assert found["truth"].tolist() == [*DEFECT_TYPES, "pristine"]
    assert set(found["value"]) == {"300"} and is_correct(found).all()
    again = map_examples.found(named.sample(frac=1, random_state=1), "sites")
    assert again["structure"].tolist() == found["structure"].tolist()


def test_the_worst_mistake_is_the_most_confident_wrong_verdict():
    named = with_names(answers())
    for method in ("lattice", "sites"):
        (worst,) = map_examples.mistakes(named, method).itertuples()
        own = named[(named["method"] == method) & named["score"].notna()]
        assert worst.confidence == own.loc[~is_correct(own), "confidence"].max()
    # without a wrong verdict a wrong type is shown, and without that nothing
    right = named.assign(probability=named["label"].astype(float))
    (worst,) = map_examples.mistakes(right, "sites").itertuples()
    assert worst.called != worst.truth and worst.truth in DEFECT_TYPES
    assert map_examples.mistakes(right.assign(called=right["truth"]), "sites").empty


def test_the_shown_network_is_the_first_that_names_types():
    named = with_names(answers())
    assert map_examples.shown_network(named, ["max", "sites"]) == "sites"
    assert map_examples.shown_network(named, ["max"]) == "max"
