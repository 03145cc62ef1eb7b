"""Potential-based shaping keeps the optimal actions of any world; distance and progress rewards do not."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_ext.envs.wrappers.shaping_proof import (
    compare_optimal_actions,
    distance_mdp,
    muddy_mdp,
    progress_mdp,
    shaped_mdp,
    steps_to_goal,
)
from sb3_ext.tabular import TabularMDP, value_iteration


@st.composite
def worlds(draw) -> tuple[TabularMDP, np.ndarray, float]:
    """Any small world with any potential. Whole numbers: ties are exact or clear, never within rounding."""
    n_states, n_actions, n_outcomes = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (n_states, n_actions, n_outcomes)
    mdp = TabularMDP.from_arrays(
        draw(hnp.arrays(np.int64, shape, elements=st.integers(0, n_states - 1))),
        draw(hnp.arrays(np.int64, shape, elements=st.integers(-3, 3))).astype(float),
        draw(hnp.arrays(np.bool_, shape)),
        np.broadcast_to({1: [1.0], 2: [0.75, 0.25], 3: [0.5, 0.25, 0.25]}[n_outcomes], shape),
    )
    potential = draw(hnp.arrays(np.int64, n_states, elements=st.integers(-20, 20))).astype(float)
    return mdp, potential, draw(st.sampled_from([0.0, 0.5, 0.9]))


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_potential_shaping_keeps_the_optimal_actions_of_any_world(world):
    mdp, potential, gamma = world
    shaped = shaped_mdp(mdp, potential, gamma)
    assert compare_optimal_actions(mdp, shaped, gamma).unchanged
    values = value_iteration(mdp, gamma, 1e-9).values
    np.testing.assert_allclose(value_iteration(shaped, gamma, 1e-9).values, values - potential, atol=1e-7)


KNOWN = [
    *("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4"),
    *(
        f"sb3_ext.envs:sb3_ext/{name}-v0"
        for name in ("GridWorld", "FourRooms", "WindyStochastic", "KeyDoor", "Gambler")
    ),
]


@pytest.mark.parametrize("name", KNOWN)
def test_potential_shaping_keeps_the_optimal_actions_of_known_worlds(name):
    mdp = TabularMDP.from_env(gym.make(name))
    potential = np.random.default_rng(0).normal(size=mdp.n_states)
    assert compare_optimal_actions(mdp, shaped_mdp(mdp, potential, 0.95), 0.95).unchanged
    assert compare_optimal_actions(mdp, shaped_mdp(mdp, -steps_to_goal(mdp), 0.95), 0.95).unchanged


def test_the_wrong_gamma_can_change_them():
    """So the warning is deserved, and the check can fail."""
    mdp = muddy_mdp()
    wrong = shaped_mdp(mdp, -3 * steps_to_goal(mdp), gamma=1.0)
    assert compare_optimal_actions(mdp, wrong, gamma=0.9).changed_states == [0]


def test_the_muddy_map():
    """0 S, 1 mud, 2 goal above 3, 4, 5. By hand: around is worth 0.9^3, straight -0.4 + 0.9."""
    mdp = muddy_mdp()
    up, right, down = 0, 1, 2
    assert steps_to_goal(mdp).tolist() == [2, 1, 0, 3, 2, 1]
    solution = value_iteration(mdp, 0.9)
    assert solution.q_values[0, [right, down]] == pytest.approx([0.5, 0.729])
    assert solution.policy[[3, 4, 5]].tolist() == [right, right, up]


@pytest.mark.parametrize("change", [distance_mdp, progress_mdp])
def test_distance_and_progress_rewards_lead_through_the_mud(change):
    mdp = muddy_mdp()
    comparison = compare_optimal_actions(mdp, change(mdp, steps_to_goal(mdp)), 0.9)
    assert comparison.changed_states == comparison.misled_states == [0]
    assert np.flatnonzero(comparison.raw[0]).tolist() == [2]
    assert np.flatnonzero(comparison.shaped[0]).tolist() == [1]


def test_progress_is_sound_without_discounting():
    """With gamma = 1 and the goal as the only end, it is potential-based."""
    mdp = muddy_mdp()
    undiscounted = progress_mdp(mdp, steps_to_goal(mdp))
    assert value_iteration(undiscounted, 1.0).values[0] == pytest.approx(1.0 + 2.0)
    assert compare_optimal_actions(mdp, undiscounted, 1.0).misled_states == []


def test_on_a_slippery_lake_distance_and_progress_rewards_mislead_too():
    mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
    distance = steps_to_goal(mdp)
    assert compare_optimal_actions(mdp, distance_mdp(mdp, distance), 0.95).misled_states
    assert compare_optimal_actions(mdp, progress_mdp(mdp, distance), 0.95).misled_states


def test_distance_rewards_make_an_early_end_attractive():
    """Cells in a row: hole, start, three more, goal. Plainly shaped, the agent jumps into the hole."""
    next_state = np.array([[0, 0], [0, 2], [1, 3], [2, 4], [3, 5], [5, 5]])
    reward = np.select([next_state == 0, next_state == 5], [-1.0, 1.0], 0.0)
    mdp = TabularMDP.from_arrays(next_state, reward, (next_state == 0) | (next_state == 5))
    distance = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    changed = distance_mdp(mdp, distance, scale=1.0)
    assert value_iteration(mdp, 0.99).policy[1] == 1
    assert value_iteration(changed, 0.99).policy[1] == 1  # 5 for the hole's own distance still holds it back
    distance[0] = 0.0  # as where a hole has no distance
    assert value_iteration(distance_mdp(mdp, distance), 0.99).policy[1] == 0
    assert compare_optimal_actions(mdp, shaped_mdp(mdp, -distance, 0.99), 0.99).unchanged


def test_bad_input():
    mdp = muddy_mdp()
    with pytest.raises(ValueError, match="state 2 is nan"):
        shaped_mdp(mdp, [0, 0, np.nan, 0, 0, 0], 0.9)
    with pytest.raises(ValueError, match=r"6 states.*\(3,\)"):
        distance_mdp(mdp, [1, 2, 3])
    with pytest.raises(ValueError, match="not the same world"):
        compare_optimal_actions(mdp, TabularMDP.from_arrays([[0]], [[0.0]]), 0.9)
