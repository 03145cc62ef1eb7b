"""The gambler's problem: figure 4.3's numbers, value iteration by loops, ties, and both kinds of coin."""

import numpy as np
import pytest

from sb3_ext.envs.textbook.gambler import Gambler, gambler_mdp, gambler_values, stakes
from sb3_ext.tabular import value_iteration


def loops(goal, p_heads):
    """Value iteration as the book's box writes it, over stakes 1 .. min(s, goal - s)."""
    values = [0.0] * goal + [1.0]
    change = 1.0
    while change > 1e-13:
        before = list(values)
        for s in range(1, goal):
            values[s] = max(
                p_heads * values[s + stake] + (1 - p_heads) * values[s - stake]
                for stake in range(1, min(s, goal - s) + 1)
            )
        change = max(abs(new - old) for new, old in zip(values, before, strict=True))
    return np.array([*values[:goal], 0.0])


def test_the_books_numbers():
    np.testing.assert_allclose(gambler_values()[[25, 50, 75]], [0.16, 0.4, 0.64])


@pytest.mark.parametrize(("goal", "p_heads"), [(100, 0.4), (100, 0.25), (13, 0.5), (20, 0.55), (7, 0.0), (7, 1.0)])
def test_the_closed_form_is_the_limit_of_value_iteration(goal, p_heads):
    np.testing.assert_allclose(gambler_values(goal, p_heads), loops(goal, p_heads), atol=1e-9)


def test_planning_on_the_arrays_finds_the_same():
    values = value_iteration(gambler_mdp(), gamma=1.0).values
    np.testing.assert_allclose(values, gambler_values(), atol=1e-6)


def test_ties():
    """Figure 4.3 shows one of several optimal policies; for a coin against the gambler, bold play is always one."""
    env = Gambler()
    assert env.optimal_stakes(50) == [50]
    assert env.optimal_stakes(25) == [25]
    assert env.optimal_stakes(51) == [1, 49]  # the figure shows 1
    assert env.optimal_stakes(37) == [12, 13, 37]
    for capital in range(1, 100):
        assert min(capital, 100 - capital) in env.optimal_stakes(capital)


def test_the_optimal_stakes_are_those_of_value_iteration():
    env = Gambler(goal=24, p_heads=0.3)
    chance = loops(24, 0.3)
    chance[24] = 1.0
    for s in range(1, 24):
        value = {k: 0.3 * chance[s + k] + 0.7 * chance[s - k] for k in range(1, min(s, 24 - s) + 1)}
        assert env.optimal_stakes(s) == [k for k in value if value[k] >= max(value.values()) - 1e-10]


def test_timid_play_for_a_good_coin_and_any_play_for_a_fair_one():
    good, fair = Gambler(p_heads=0.51), Gambler(p_heads=0.5)
    assert all(good.optimal_stakes(capital) == [1] for capital in (2, 30, 50, 98))
    assert fair.optimal_stakes(30) == list(range(1, 31))
    np.testing.assert_allclose(fair.exact_values()[:100], np.arange(100) / 100)


def test_stakes_are_cut_to_what_is_possible():
    assert stakes(100).max(axis=1).tolist() == [min(s, 100 - s) for s in range(101)]
    env = Gambler(start=30)
    state, _ = env.reset(seed=0)
    assert state == 30
    assert int(env.step(49)[0]) in (0, 60)  # asks for 50, has 30


def test_bold_play_wins_as_often_as_it_should():
    env = Gambler(start=25)
    env.reset(seed=0)
    wins = 0.0
    for _ in range(3000):
        state, _ = env.reset()
        terminated = False
        while not terminated:
            state, reward, terminated, _, _ = env.step(min(int(state), 100 - int(state)) - 1)
            wins += reward
    assert wins / 3000 == pytest.approx(0.16, abs=4 * np.sqrt(0.16 * 0.84 / 3000))


def test_any_capital_may_come_first():
    env = Gambler(goal=4)
    firsts = [int(env.reset(seed=seed)[0]) for seed in range(60)]
    assert set(firsts) == {1, 2, 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": 1}, "goal must be at least 2, got 1"),
        ({"p_heads": 1.5}, r"p_heads is a probability.*1\.5"),
        ({"p_heads": float("nan")}, "p_heads is a probability.*nan"),
        ({"start": 100}, r"start must be a capital in 1 \.\. 99.*100"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Gambler(**arguments)


@pytest.mark.parametrize("capital", [0, 100])
def test_no_stake_after_the_end(capital):
    with pytest.raises(ValueError, match=f"capital must lie in.*{capital}"):
        Gambler().optimal_stakes(capital)
