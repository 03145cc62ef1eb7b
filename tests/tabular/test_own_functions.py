"""Functions of the user's own in QLearning: ``update=`` and ``exploration=``."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from sb3_ext import SARSA, DoubleQLearning, DynaQ, ExpectedSARSA, MonteCarloControl, QLearning
from sb3_ext.common import EpsilonGreedy
from sb3_ext.envs import GridWorld


def q_learning_update(q_value, reward, next_q_values, terminated, learning_rate, gamma):
    target = reward + (0 if terminated else gamma * max(next_q_values))
    return q_value + learning_rate * (target - q_value)


def label(learning_rate):
    return "callable" if callable(learning_rate) else str(learning_rate)


class Mine:
    """Epsilon-greedy by another name."""

    def probabilities(self, q_values, counts, progress):
        return EpsilonGreedy(0.5, 0.02).probabilities(q_values, counts, progress)


@pytest.mark.parametrize("learning_rate", [0.1, "1/N", "lin_1/N^0.5", lambda remaining: 0.5 * remaining], ids=label)
@pytest.mark.parametrize("env", ["FrozenLake-v1", "CliffWalking-v1"])
def test_our_rule_in_the_slot_learns_our_table(env, learning_rate):
    settings = {"learning_rate": learning_rate, "seed": 3}
    ours = QLearning("TabularPolicy", env, engine="step", **settings).learn(2_000)
    theirs = QLearning("TabularPolicy", env, update=q_learning_update, **settings).learn(2_000)
    np.testing.assert_allclose(theirs.policy.q_table, ours.policy.q_table, rtol=1e-12)
    assert theirs.policy.q_table.std() > 0


def test_another_rule_learns_another_table():
    ours = QLearning("TabularPolicy", "FrozenLake-v1", seed=0).learn(2_000)
    still = QLearning("TabularPolicy", "FrozenLake-v1", seed=0, update=lambda q_value, *_: q_value).learn(2_000)
    assert (still.policy.q_table == 1).all()
    assert (ours.policy.q_table != 1).any()


def test_a_time_limit_is_no_end():
    seen = []

    def rule(q_value, reward, next_q_values, terminated, learning_rate, gamma):
        seen.append((terminated, next_q_values.copy()))
        return q_value

    env = TimeLimit(GridWorld("S..G"), 2)
    QLearning("TabularPolicy", env, update=rule, seed=0).learn(40)
    assert not any(terminated for terminated, _ in seen)  # the goal is 3 steps away


@pytest.mark.parametrize("algorithm", [QLearning, DoubleQLearning, DynaQ])
def test_an_exploration_of_ones_own(algorithm):
    model = algorithm("TabularPolicy", "FrozenLake-v1", exploration=Mine(), seed=0).learn(20_000)
    assert {int(model.predict(0, deterministic=False)[0]) for _ in range(200)} >= {int(model.predict(0)[0])}
    assert model.policy.q_table.std() > 0


def test_actions_are_drawn_as_the_object_says():
    class Never0:
        def probabilities(self, q_values, counts, progress):
            assert 0 <= progress <= 1
            assert counts.shape == q_values.shape
            return np.broadcast_to([0.0, 0.25, 0.75, 0.0], q_values.shape)

    model = QLearning("TabularPolicy", "FrozenLake-v1", exploration=Never0(), seed=0).learn(8_000)
    visits = model.policy.visits.numpy()[0].sum(axis=0)
    assert visits[0] == visits[3] == 0
    assert abs(visits[1] / visits.sum() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 8_000)


@pytest.mark.parametrize("algorithm", [SARSA, ExpectedSARSA, MonteCarloControl])
def test_who_learns_about_exploration_takes_ours(algorithm):
    with pytest.raises(ValueError, match="takes EpsilonGreedy, Boltzmann or UCB, got Mine"):
        algorithm("TabularPolicy", "FrozenLake-v1", exploration=Mine())


@pytest.mark.parametrize(
    "chances", [[0.5, 0.5, 0.5, 0.5], [1.5, -0.5, 0, 0], [1.0], [np.nan, 0, 0, 1]], ids=["2", "<0", "shape", "nan"]
)
def test_chances_that_are_none(chances):
    class Wrong:
        def probabilities(self, q_values, counts, progress):
            return np.array(chances)

    model = QLearning("TabularPolicy", "FrozenLake-v1", exploration=Wrong())
    with pytest.raises(ValueError, match=r"add up to 1|the shape|not finite"):
        model.learn(10)


def test_predict_checks_as_well():
    class OnlyOne:
        def probabilities(self, q_values, counts, progress):
            return np.full(4, 0.25)

    model = QLearning("TabularPolicy", "FrozenLake-v1", exploration=OnlyOne(), seed=0).learn(100)
    with pytest.raises(ValueError, match=r"the shape \(4,\), expected \(3, 4\)"):
        model.predict(np.zeros(3, int), deterministic=False)


def test_refusals():
    with pytest.raises(ValueError, match="an object with a method `probabilities`"):
        QLearning("TabularPolicy", "FrozenLake-v1", exploration=object())
    with pytest.raises(ValueError, match=r"update needs lambda_=0, got 0\.5"):
        QLearning("TabularPolicy", "FrozenLake-v1", update=q_learning_update, lambda_=0.5)
    with pytest.raises(ValueError, match="an object, got the class EpsilonGreedy"):
        QLearning("TabularPolicy", "FrozenLake-v1", exploration=EpsilonGreedy)
    compiled = QLearning("TabularPolicy", "FrozenLake-v1", update=q_learning_update, engine="compiled")
    with pytest.raises(ValueError, match="update is a function that only Python can call"):
        compiled.learn(10)


def test_saved_and_loaded(tmp_path):
    class Even:
        def probabilities(self, q_values, counts, progress):
            return np.full(q_values.shape, 1 / q_values.shape[-1])

    def halfway(q_value, reward, next_q_values, terminated, learning_rate, gamma):  # local: saved with its code
        return (q_value + reward + max(next_q_values)) / 2

    model = QLearning("TabularPolicy", "FrozenLake-v1", update=halfway, exploration=Even(), seed=0)
    model.learn(1_000).save(tmp_path / "model")
    loaded = QLearning.load(tmp_path / "model", env=gym.make("FrozenLake-v1"))
    assert loaded.update(1.0, 2.0, np.array([3.0]), False, 0.5, 1.0) == 3.0
    assert (loaded.policy.q_table == model.policy.q_table).all()
    loaded.learn(100)
