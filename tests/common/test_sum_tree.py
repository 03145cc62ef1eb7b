"""The sum tree against the running sum of a plain array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common.sum_tree import SumTree, find_leaves, set_leaves

FEW = settings(max_examples=100, deadline=None)
NUMBERS = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


def plain_find(values, target):
    """The leaf at which the running sum passes the target."""
    return int(np.searchsorted(np.cumsum(values), target, side="right"))


@FEW
@given(st.lists(NUMBERS, min_size=1, max_size=40).filter(any), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_finds_what_the_running_sum_finds(values, shares):
    tree = SumTree(len(values))
    tree[np.arange(len(values))] = values
    targets = np.array(shares) * tree.total
    found = tree.find(targets)
    ends = np.cumsum(values)
    for leaf, target in zip(found, targets, strict=True):
        assert values[leaf] > 0
        near = np.abs(ends - target) <= 1e-9 * ends[-1]  # where two leaves meet, rounding decides
        assert leaf == plain_find(values, target) or near.any()


@FEW
@given(st.integers(1, 33), st.data())
def test_sums_stay_right_whatever_is_written(n_leaves, data):
    tree, plain = SumTree(n_leaves), np.zeros(n_leaves)
    for _ in range(5):
        leaves = data.draw(st.lists(st.integers(0, n_leaves - 1), max_size=8))
        values = data.draw(st.lists(NUMBERS, min_size=len(leaves), max_size=len(leaves)))
        tree[leaves] = values
        for leaf, value in zip(leaves, values, strict=True):  # the last of several holds
            plain[leaf] = value
        np.testing.assert_array_equal(tree.values, plain)
        assert tree.total == pytest.approx(plain.sum())


def test_no_drift_after_many_writes():
    rng, tree = np.random.default_rng(0), SumTree(100)
    for _ in range(20_000):
        tree[rng.integers(100, size=4)] = rng.random(4) * 10.0 ** rng.integers(-8, 8)
    assert tree.total == pytest.approx(tree.values.sum(), rel=1e-12)


def test_a_target_at_the_very_end_finds_the_last_leaf_that_is_not_empty():
    tree = SumTree(6)
    tree[[1, 3]] = [0.1, 0.2]
    assert tree.find([0.0, 0.1, tree.total, np.nextafter(tree.total, 0)]).tolist() == [1, 3, 3, 3]


def test_draws_in_proportion():
    tree, rng = SumTree(5), np.random.default_rng(0)
    tree[np.arange(5)] = [0.0, 1.0, 2.0, 3.0, 4.0]
    counts = np.bincount(tree.find(rng.random(100_000) * tree.total), minlength=5)
    np.testing.assert_allclose(counts / 100_000, np.arange(5) / 10, atol=0.006)


def test_compiled_and_plain_python_agree():
    rng = np.random.default_rng(0)
    leaves, values, targets = rng.integers(8, size=20), rng.random(20), rng.random(30)
    trees = [np.zeros(16), np.zeros(16)]
    set_leaves(trees[0], leaves, values, 8)
    set_leaves.py_func(trees[1], leaves, values, 8)
    np.testing.assert_array_equal(*trees)
    targets *= trees[0][1]
    np.testing.assert_array_equal(find_leaves(trees[0], targets), find_leaves.py_func(trees[1], targets))


@pytest.mark.parametrize(
    ("leaves", "values", "message"),
    [
        ([0, 3], [1.0, 1.0], r"leaves must lie from 0 to 2.*, got leaf 3 and"),
        ([-1], [1.0], r"leaves must lie from 0 to 2.*, got leaf -1 and"),
        ([0], [-1.0], r"finite and not negative, got leaf 0 and value -1.0"),
        ([1, 0], [1.0, np.nan], r"finite and not negative, got leaf 0 and value nan"),
        ([0], [np.inf], r"finite and not negative, got leaf 0 and value inf"),
        ([0, 1], [1.0], r"must both be \[N\], got \(2,\) and \(1,\)"),
    ],
)
def test_bad_writes_are_refused_and_change_nothing(leaves, values, message):
    tree = SumTree(3)
    with pytest.raises(ValueError, match=message):
        tree[leaves] = values
    assert tree.total == 0


def test_bad_draws_and_sizes_are_refused():
    tree = SumTree(3)
    with pytest.raises(ValueError, match="all numbers are 0"):
        tree.find([0.0])
    tree[[0]] = [1.0]
    for target in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"targets must lie from 0 to 1\.0"):
            tree.find([target])
    with pytest.raises(ValueError, match="n_leaves must be at least 1, got 0"):
        SumTree(0)
