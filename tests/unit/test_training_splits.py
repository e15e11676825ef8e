"""Splits: no formula on two sides, balanced, and independent of the order of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.errors import DefectpoolError
from defectpool.training.splits import host_disjoint_folds, of_some_hosts, sample_validation

formulas = st.lists(st.sampled_from([f"A{i}" for i in range(30)]), min_size=20, max_size=200)


@settings(max_examples=60, deadline=None)
@given(formulas, st.integers(2, 5), st.integers(0, 5), st.randoms(use_true_random=False))
def test_folds(names, folds, seed, random):
    names += [f"B{i}" for i in range(max(folds, 3))]
    found = host_disjoint_folds(names, folds, seed)
    assert set(found) == set(range(folds))
    for formula in set(names):
        assert len({int(f) for f, name in zip(found, names, strict=True) if name == formula}) == 1
    sizes, largest = np.bincount(found), max(names.count(name) for name in set(names))
    assert sizes.max() - sizes.min() <= largest
    order = list(range(len(names)))
    random.shuffle(order)
    again = host_disjoint_folds([names[i] for i in order], folds, seed)
    assert (again == found[order]).all()


@settings(max_examples=60, deadline=None)
@given(formulas, st.floats(0.01, 0.49), st.integers(0, 5))
def test_validation(names, share, seed):
    names += ["B0", "B1", "B2"]
    names = np.array(names)
    test = host_disjoint_folds(names, 3, seed) == 0
    drawn = sample_validation(names, ~test, share, seed)
    train = ~test & ~drawn
    assert drawn.any() and train.any()
    assert not (drawn & test).any()
    for one, two in ((drawn, test), (drawn, train), (train, test)):
        assert not set(names[one]) & set(names[two])


def test_other_seeds_give_other_splits():
    names = [f"A{i}" for i in range(40)]
    assert len({tuple(host_disjoint_folds(names, 5, seed)) for seed in range(5)}) == 5


def test_too_few_formulas():
    with pytest.raises(DefectpoolError, match=r"training\.folds: 2 folds need at least 3"):
        host_disjoint_folds(["MoS2"] * 4, 2, 0)
    with pytest.raises(DefectpoolError, match="there are 4"):
        host_disjoint_folds(["A", "B", "C", "D"], 5, 0)


def test_training_on_some_hosts():
    hosts = np.array([f"h{number // 3}" for number in range(30)], dtype=object)
    train = np.arange(6, 30)
    few, more = (of_some_hosts(train, hosts, number, 0) for number in (2, 5))
    assert len(few) == 6 and len(more) == 15
    assert set(few) < set(more) < set(train)
    assert [len(set(hosts[part])) for part in (few, more)] == [2, 5]
    assert (of_some_hosts(train, hosts, 100, 0) == train).all()
    assert set(of_some_hosts(train[::-1], hosts, 5, 0)) == set(more)
    assert set(of_some_hosts(train, hosts, 5, 1)) != set(more)
