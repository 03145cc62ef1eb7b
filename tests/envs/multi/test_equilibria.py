"""Equilibria: the textbook's games by hand, and nobody gains by deviating."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.envs.multi.equilibria import mixed_equilibrium, pure_equilibria, zero_sum_equilibrium
from sb3_ext.envs.multi.matrix_game import GAMES

whole_numbers = st.integers(-5, 5).map(float)


def gain(payoffs, first, second):
    """What the two players could gain by deviating alone."""
    against_second, against_first = payoffs[0] @ second, first @ payoffs[1]
    return against_second.max() - first @ against_second, against_first.max() - second @ against_first


@pytest.mark.parametrize(
    ("name", "pure", "mixed"),
    [
        ("prisoners_dilemma", [(1, 1)], None),
        ("stag_hunt", [(0, 0), (1, 1)], (3 / 4, 3 / 4)),
        ("chicken", [(0, 1), (1, 0)], (1 / 2, 1 / 2)),
        ("battle_of_the_sexes", [(0, 0), (1, 1)], (2 / 3, 1 / 3)),
        ("matching_pennies", [], (1 / 2, 1 / 2)),
    ],
)
def test_the_textbooks_games(name, pure, mixed):
    payoffs = GAMES[name].payoffs
    assert pure_equilibria(payoffs) == pure
    found = mixed_equilibrium(payoffs)
    if mixed is None:
        assert found is None
    else:
        assert (found[0][0], found[1][0]) == pytest.approx(mixed)
        assert gain(payoffs, *found) == pytest.approx((0.0, 0.0))


def test_rock_paper_scissors():
    payoffs = GAMES["rock_paper_scissors"].payoffs
    assert pure_equilibria(payoffs) == []
    value, first, second = zero_sum_equilibrium(payoffs[0])
    assert value == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose([first, second], 1 / 3)


def test_three_players():
    """Each gets 1 if all do the same."""
    payoffs = np.zeros((3, 2, 2, 2))
    payoffs[:, 0, 0, 0] = payoffs[:, 1, 1, 1] = 1.0
    assert pure_equilibria(payoffs) == [(0, 0, 0), (1, 1, 1)]


@given(arrays(float, (2, 3, 2), elements=whole_numbers))
@settings(max_examples=50, deadline=None)
def test_pure_equilibria_are_those_from_which_nobody_gains(payoffs):
    expected = [(i, j) for i in range(3) for j in range(2) if max(gain(payoffs, np.eye(3)[i], np.eye(2)[j])) <= 0]
    assert pure_equilibria(payoffs) == expected


@given(arrays(float, (2, 2, 2), elements=whole_numbers))
@settings(max_examples=100, deadline=None)
def test_nobody_gains_by_leaving_a_mixed_equilibrium(payoffs):
    found = mixed_equilibrium(payoffs)
    if found is not None:
        assert gain(payoffs, *found) == pytest.approx((0.0, 0.0), abs=1e-9)
        assert all(strategy.min() > 0 and strategy.sum() == pytest.approx(1.0) for strategy in found)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_zero_sum_equilibrium_is_worth_its_value_against_everything(data):
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    matrix = data.draw(arrays(float, shape, elements=whole_numbers))
    value, first, second = zero_sum_equilibrium(matrix)
    assert (first @ matrix).min() == pytest.approx(value, abs=1e-8)
    assert (matrix @ second).max() == pytest.approx(value, abs=1e-8)
    assert first.sum() == pytest.approx(1.0)
    assert second.sum() == pytest.approx(1.0)


def test_a_zero_sum_game_by_hand():
    """x - (1 - x) = -x + 3 (1 - x), so x = 2/3, and each column pays 1/3."""
    value, first, second = zero_sum_equilibrium([[1, -1], [-1, 3]])
    assert value == pytest.approx(1 / 3)
    np.testing.assert_allclose([first, second], [[2 / 3, 1 / 3]] * 2)


@pytest.mark.parametrize("payoffs", [[1.0, 2.0], [[]], [[1.0, np.nan]], np.zeros((2, 2, 2))], ids=str)
def test_no_matrix(payoffs):
    with pytest.raises(ValueError, match="a zero-sum game needs a matrix"):
        zero_sum_equilibrium(payoffs)


def test_what_is_not_two_by_two():
    with pytest.raises(ValueError, match=r"needs payoffs \[2, 2, 2\], got \[2, 3, 3\]; zero_sum_equilibrium"):
        mixed_equilibrium(GAMES["rock_paper_scissors"].payoffs)
