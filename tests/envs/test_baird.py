"""Baird's counterexample: the arrays, the exact values, and the divergence, sampled and swept, with its cause."""

import numpy as np
import pytest

from sb3_ext.envs.textbook.baird import (
    BEHAVIOUR,
    DASHED,
    FIRST_WEIGHTS,
    LOWER,
    SOLID,
    TARGET,
    Baird,
    baird_mdp,
    features,
    semi_gradient_dp,
    semi_gradient_td,
    stability_matrix,
)
from sb3_ext.tabular import policy_evaluation


def test_the_features_of_figure_11_1():
    weights = np.arange(1.0, 9.0)
    expected = [*(2 * weights[:6] + weights[7]), weights[6] + 2 * weights[7]]
    np.testing.assert_array_equal(features() @ weights, expected)


def test_moves():
    env = Baird()
    env.reset(seed=0)
    assert int(env.step(SOLID)[0]) == LOWER
    steps = [env.step(DASHED) for _ in range(300)]
    assert {int(step[0]) for step in steps} == set(range(6))
    assert all(step[1] == 0.0 and not step[2] and not step[3] for step in steps)


@pytest.mark.parametrize("policy", [BEHAVIOUR, TARGET])
def test_every_value_is_zero(policy):
    values = policy_evaluation(baird_mdp(), np.tile(policy, (7, 1)), gamma=0.99).values
    np.testing.assert_allclose(values, Baird().exact_values(), atol=1e-12)


def test_the_behaviour_policy_visits_all_states_equally():
    mdp = baird_mdp()
    transition = np.zeros((7, 7))
    np.add.at(
        transition,
        (np.arange(7)[:, None, None], mdp.next_state),
        mdp.probability * BEHAVIOUR[:, None],
    )
    np.testing.assert_allclose(transition, np.full((7, 7), 1 / 7))


def test_one_td_step_by_hand():
    """From state 1 by solid: rho = 7, delta = 0.99 (10 + 2) - 3 = 8.88; x = 2 for w1 and 1 for w8."""
    weights = semi_gradient_td(FIRST_WEIGHTS, state=0, action=SOLID, reward=0.0, next_state=LOWER)
    np.testing.assert_allclose(weights, FIRST_WEIGHTS + 0.01 * 7 * 8.88 * np.array([2.0, 0, 0, 0, 0, 0, 0, 1.0]))
    np.testing.assert_array_equal(semi_gradient_td(FIRST_WEIGHTS, 0, DASHED, 0.0, 3), FIRST_WEIGHTS)  # rho = 0


def test_a_sweep_is_the_expected_td_step():
    """Averaged over states and over the behaviour policy's actions; what dashed leads to has no weight."""
    steps = [
        BEHAVIOUR[SOLID] / 7 * (semi_gradient_td(FIRST_WEIGHTS, state, SOLID, 0.0, LOWER) - FIRST_WEIGHTS)
        for state in range(7)
    ]
    np.testing.assert_allclose(semi_gradient_dp(FIRST_WEIGHTS) - FIRST_WEIGHTS, np.sum(steps, axis=0))


def test_off_policy_td_diverges_for_every_seed():
    """Figure 11.2, left: |w| grows although the true values, 0, can be represented."""
    for seed in range(5):
        env, rng, weights = Baird(), np.random.default_rng(100 + seed), FIRST_WEIGHTS  # not the environment's seed
        state = int(env.reset(seed=seed)[0])
        for _ in range(1000):
            action = int(rng.random() < BEHAVIOUR[SOLID])
            next_state, reward, _, _, _ = env.step(action)
            weights = semi_gradient_td(weights, state, action, float(reward), int(next_state))
            state = int(next_state)
        assert np.linalg.norm(weights) > 5 * np.linalg.norm(FIRST_WEIGHTS)


def test_dynamic_programming_diverges_without_any_noise():
    """Figure 11.2, right, and at the rate that the eigenvalue says."""
    weights, norms = FIRST_WEIGHTS, []
    for _ in range(3000):
        weights = semi_gradient_dp(weights)
        norms.append(np.linalg.norm(weights))
    assert (np.diff(norms[100:]) > 0).all()
    eigenvalues = np.linalg.eigvals(stability_matrix())
    assert norms[-1] / norms[-2] == pytest.approx(np.abs(1 - 0.01 * eigenvalues).max(), rel=1e-4)


def test_all_three_parts_of_the_deadly_triad_are_needed():
    def lowest(matrix):
        return np.linalg.eigvals(matrix).real.min()

    assert lowest(stability_matrix()) < -0.1
    assert lowest(stability_matrix(gamma=0.0)) > -1e-12  # no bootstrapping
    assert lowest(stability_matrix(np.eye(7)[LOWER])) > -1e-12  # on-policy: solid stays in the lower state
    tabular = np.eye(7) / 7 @ (np.eye(7) - 0.99 * np.eye(7)[[LOWER] * 7])  # no function approximation
    assert lowest(tabular) > 0
