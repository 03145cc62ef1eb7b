# ruff: noqa: RUF001  (signs of mathematics)
"""An update that is spelled out is the one that the agent made, bit for bit."""

import numpy as np
import pytest

from sb3_ext.envs.grid.layouts import LAYOUTS
from sb3_ext.zoo.watch.learner import Learner
from sb3_ext.zoo.watch.messages import AgentSettings
from sb3_ext.zoo.watch.words import text

WHOLE = [
    {"algo": "q_learning"}, {"algo": "sarsa"}, {"algo": "sarsa", "n_steps": 4}, {"algo": "expected_sarsa"},
    {"algo": "expected_sarsa", "n_steps": 3}, {"algo": "double_q_learning"}, {"algo": "dyna_q", "planning_steps": 0},
    {"algo": "monte_carlo"},
]  # fmt: skip
"""Agents all of whose learning is spelled out."""


def learner(world, **settings):
    return Learner({**LAYOUTS[world], "max_episode_steps": 8}, AgentSettings(alpha=0.5, seed=3, **settings), 0.9)


@pytest.mark.parametrize("world", ["CliffWalking", "KeyDoor"])
@pytest.mark.parametrize("settings", WHOLE, ids=str)
def test_the_new_values_are_the_tables(world, settings):
    agent = learner(world, **settings, epsilon=0.5)
    table = agent.model.policy.arrays()["q_tables"]
    endings = set()
    for _ in range(50):
        expected = table.copy()
        step = agent.step()
        for update in step["updates"]:
            place = update["table"], update["state"], update["action"]
            assert update["value"] == expected[place]
            assert update["error"] == update["target"] - update["value"]
            expected[place] = update["new_value"]
        np.testing.assert_array_equal(table, expected)
        endings |= {name for name in ("terminated", "truncated") if step[name]}
    assert "truncated" in endings


@pytest.mark.parametrize("algo", ["q_learning", "sarsa"])
def test_with_traces_the_new_value_of_the_pair_is_the_tables(algo):
    agent = learner("CliffWalking", algo=algo, lambda_=0.8)
    table = agent.model.policy.arrays()["q_tables"]
    for _ in range(30):
        step = agent.step()
        (update,) = step["updates"]
        assert table[0, step["state"], step["action"]] == update["new_value"]
    assert "earlier pairs" in step["note"]


def test_the_step_is_the_one_that_was_made():
    agent = learner("CliffWalking", algo="q_learning", epsilon=1.0)
    mdp = agent.grid.mdp
    for _ in range(30):
        before = agent.state
        step = agent.step()
        state, action = step["state"], step["action"]
        assert state == before
        assert step["next_state"] == mdp.next_state[state, action, 0]
        assert step["reward"] == mdp.reward[state, action, 0]
        assert agent.state == (36 if step["terminated"] or step["truncated"] else step["next_state"])


def test_the_lines_say_the_equation_in_symbols_and_numbers():
    agent = learner("CliffWalking", algo="q_learning", initial_value=2.0)
    target, error, new = agent.step()["updates"][0]["lines"]
    assert target == ("target", "R + γ maxₐ Q(S′, a)", "−1 + 0.9 × max(2, 2, 2, 2)", "0.8")
    assert error == ("error δ", "target − Q(S, A)", "0.8 − 2", "−1.2")
    assert new == ("new Q(S, A)", "Q(S, A) + α δ", "2 + 0.5 × (−1.2)", "1.4")


def test_a_terminal_state_has_no_future():
    agent = Learner({"map": ["SG"]}, AgentSettings(alpha=0.5, epsilon=1.0, initial_value=2.0), 0.9)
    steps = [agent.step() for _ in range(40)]
    last = next(step for step in steps if step["terminated"])
    assert last["updates"][0]["lines"][0] == ("target", "R", "1", "1")
    assert last["updates"][0]["target"] == 1.0


def test_a_return_that_is_not_known_yet_is_waited_for():
    agent = learner("CliffWalking", algo="sarsa", n_steps=3)
    first, second, third = (agent.step() for _ in range(3))
    assert first["updates"] == second["updates"] == []
    assert "3 rewards are known (2 so far)" in second["note"]
    assert third["updates"][0]["state"] == first["state"]
    assert third["updates"][0]["lines"][0][1] == "R₁ + γ R₂ + γ² R₃ + γ³ Q(S′, A′)"


def test_shaping_is_named_as_part_of_the_reward():
    step = learner("FourRooms", algo="q_learning", shaping="distance").step()
    assert step["reward_terms"].keys() == {"raw", "potential_shaping"}
    assert sum(step["reward_terms"].values()) == pytest.approx(step["reward"])


@pytest.mark.parametrize(
    ("number", "written"), [(0.0, "0"), (-0.0, "0"), (-13.0, "−13"), (1 / 3, "0.33333"), (1e-9, "1e−09")]
)
def test_numbers_are_written_as_in_print(number, written):
    assert text(number) == written
