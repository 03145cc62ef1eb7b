"""The exact value of a game between two sides: hand-solved cases, planning, and best responses."""

import numpy as np
import pytest

from sb3_ext.envs.multi.shapley import fix_policy, markov_game_values
from sb3_ext.envs.multi.tag import Tag
from sb3_ext.tabular import TabularMDP, policy_evaluation, value_iteration

GAMMA = 0.9


def value_at_start(env, gamma=GAMMA):
    return markov_game_values(env.mdp, n_columns=5, gamma=gamma).values[int(env.mdp.start.argmax())]


@pytest.mark.parametrize(
    ("rows", "stumble", "expected"),
    [
        (["SR"], 0.0, 1.0),
        (["S.R"], 0.0, GAMMA),
        (["SR."], 0.0, GAMMA),
        (["S.R."], 0.0, GAMMA**2),
        (["S.", ".R"], 0.0, 0.0),
        (["S.", "R."], 0.2, 0.2 / (1 - 0.8 * GAMMA)),
        (["SR", ".."], 1.0, 1.0),
        (["S.", "SR"], 0.0, 1.0),
    ],
    ids=["at once", "two apart", "flight by one", "to the end", "a ring", "a stumbling runner", "no runner", "two"],
)
def test_games_solved_by_hand(rows, stumble, expected):
    """In a corridor the chaser comes one cell nearer while the runner can flee; on a ring it waits for a stumble."""
    assert value_at_start(Tag(rows, stumble)) == pytest.approx(expected, abs=1e-6)


def test_a_game_that_is_repeated_until_somebody_wins():
    """Pennies again after a miss: v = val [[1, gamma v], [gamma v, 1]] = (1 + gamma v) / 2, so v = 1 / (2 - gamma)."""
    pennies = TabularMDP.from_arrays([[0, 0, 0, 0]], [[1.0, 0.0, 0.0, 1.0]], [[True, False, False, True]])
    solution = markov_game_values(pennies, n_columns=2, gamma=GAMMA, tolerance=1e-9)
    assert solution.values == pytest.approx([1 / (2 - GAMMA)])
    np.testing.assert_allclose(solution.row_policy, [[0.5, 0.5]])
    np.testing.assert_allclose(solution.column_policy, [[0.5, 0.5]])
    assert solution.error_bound <= 1e-9


def test_one_who_has_no_choice_leaves_the_other_a_decision_process():
    env = Tag()
    alone = TabularMDP.from_arrays(
        env.mdp.next_state[:, 4::5], env.mdp.reward[:, 4::5], env.mdp.terminated[:, 4::5],
        env.mdp.probability[:, 4::5], env.mdp.start,
    )  # fmt: skip
    as_rows = markov_game_values(alone, n_columns=1, gamma=GAMMA)
    np.testing.assert_allclose(as_rows.values, value_iteration(alone, gamma=GAMMA).values, atol=1e-6)
    as_columns = markov_game_values(alone, n_columns=5, gamma=GAMMA)
    negative = TabularMDP.from_arrays(alone.next_state, -alone.reward, alone.terminated, alone.probability, alone.start)
    np.testing.assert_allclose(as_columns.values, -value_iteration(negative, gamma=GAMMA).values, atol=1e-6)


@pytest.mark.parametrize("rows", [["S..", ".#.", "..R"], ["S.", ".S", ".R"]], ids=["one chaser", "two chasers"])
def test_nobody_gains_by_leaving_the_solution(rows):
    env = Tag(rows)
    solution = markov_game_values(env.mdp, n_columns=5, gamma=GAMMA)
    chasers = value_iteration(fix_policy(env.mdp, column_policy=solution.column_policy), gamma=GAMMA)
    runner = value_iteration(fix_policy(env.mdp, row_policy=solution.row_policy), gamma=GAMMA)
    np.testing.assert_allclose(chasers.values, solution.values, atol=1e-5)
    np.testing.assert_allclose(-runner.values, solution.values, atol=1e-5)


def test_what_the_docstring_says_of_the_ring():
    """Opposite to the runner, any probability between 0.16 and 0.84 is best for the chaser, and certainty is not."""
    env = Tag()
    solution, start = markov_game_values(env.mdp, n_columns=5, gamma=GAMMA), int(env.mdp.start.argmax())
    assert solution.values[start] == pytest.approx(0.266, abs=5e-4)

    def guaranteed(probability):
        policy = solution.row_policy.copy()
        policy[start] = [0, probability, 1 - probability, 0, 0]
        return -value_iteration(fix_policy(env.mdp, row_policy=policy), gamma=GAMMA).values[start]

    for probability in (0.16, 0.5, 0.84):
        assert guaranteed(probability) == pytest.approx(solution.values[start], abs=1e-5)
    for probability in (0.0, 1.0):
        assert guaranteed(probability) < solution.values[start] - 0.01


def test_fixing_both_policies_in_turn_gives_the_same_value():
    """Against brute force: the chain that two random policies make."""
    env, generator = Tag(), np.random.default_rng(0)
    chaser, runner = generator.dirichlet(np.ones(5), size=(2, env.mdp.n_states))
    joint = np.einsum("sa,sb->sab", chaser, runner).reshape(-1, 25)
    expected = policy_evaluation(env.mdp, joint, gamma=GAMMA).values
    for process, policy, sign in (
        (fix_policy(env.mdp, column_policy=runner), chaser, 1),
        (fix_policy(env.mdp, row_policy=chaser), runner, -1),
    ):
        found = policy_evaluation(process, policy, gamma=GAMMA).values
        np.testing.assert_allclose(sign * found, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_columns": 3}, "25 actions are no pairs"),
        ({"n_columns": 0}, "25 actions are no pairs"),
        ({"gamma": 1.0}, r"gamma must be in \[0, 1\), .* got 1.0"),
        ({"gamma": -0.1}, r"gamma must be in \[0, 1\)"),
        ({"tolerance": 0.0}, "tolerance must be above 0, got 0.0"),
    ],
    ids=["three", "zero", "gamma 1", "negative gamma", "tolerance"],
)
def test_impossible_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        markov_game_values(Tag().mdp, **{"n_columns": 5, **kwargs})


@pytest.mark.parametrize(
    "policies",
    [{}, {"row_policy": np.ones((81, 5)) / 5, "column_policy": np.ones((81, 5)) / 5}],
    ids=["none", "both"],
)
def test_one_policy_is_fixed(policies):
    with pytest.raises(ValueError, match="give one of row_policy and column_policy"):
        fix_policy(Tag().mdp, **policies)


@pytest.mark.parametrize("shape", [(81,), (80, 5), (81, 4)], ids=str)
def test_policies_of_another_game(shape):
    with pytest.raises(ValueError, match=r"must be probabilities \[81, n\]"):
        fix_policy(Tag().mdp, row_policy=np.ones(shape))


def test_probabilities_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match="probabilities must sum to 1"):
        fix_policy(Tag().mdp, row_policy=np.ones((81, 5)))
