"""A session is the library's own agents and the library's own solution; the page is told nothing else."""

import json

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.monitor import Monitor

from sb3_ext import SARSA, QLearning
from sb3_ext.common.exploration import EpsilonGreedy
from sb3_ext.envs import GridWorld, PotentialShaping
from sb3_ext.tabular import value_iteration
from sb3_ext.zoo.watch.checks import MessageError
from sb3_ext.zoo.watch.curve import N_BINS, Curve
from sb3_ext.zoo.watch.learner import Learner
from sb3_ext.zoo.watch.messages import AgentSettings, Message, read_message
from sb3_ext.zoo.watch.session import Exact, Session, packed, unpacked


def setup(session, **changes):
    before = {"world": session.description, "gamma": session.gamma,
              "agents": [vars(learner.settings) for learner in session.learners]}  # fmt: skip
    return session.handle(read_message(json.dumps({"type": "setup", **before, **changes})))


def run_for(session, n_steps):
    """Learns exactly so many steps at a speed."""
    session.handle(Message("run", speed=n_steps))
    while session.learners[0].n_steps < n_steps:
        session.advance(1.0, 1.0)


def test_values_are_those_of_the_library_run_by_hand(example):
    session = Session(example("Cliff"))
    run_for(session, 1000)
    head, arrays = unpacked(session.frame(1))
    for index, cls in enumerate((SARSA, QLearning)):
        env = Monitor(TimeLimit(GridWorld("CliffWalking"), 500))
        model = cls("TabularPolicy", env, learning_rate=0.5, gamma=1.0, exploration=0.1, initial_value=0.0, seed=0)
        model.learn(head["agents"][index]["steps"])
        np.testing.assert_array_equal(arrays[f"q{index}"], model.policy.q_table.astype(np.float32))
        assert arrays[f"visits{index}"].sum() == model.num_timesteps >= 1000
        assert head["agents"][index]["episodes"] == len(env.episode_returns)


def test_shaping_is_the_library_wrapper_and_the_curve_shows_raw_returns(corridor):
    agent = {"algo": "q_learning", "alpha": 0.5, "shaping": "distance", "scale": 0.5, "seed": 1}
    session = Session({**corridor, "agents": [agent]})
    run_for(session, 400)
    env = Monitor(TimeLimit(GridWorld(corridor["world"]["map"]), 20))
    shaped = PotentialShaping(env, "distance", 0.9, 0.5)
    model = QLearning("TabularPolicy", shaped, learning_rate=0.5, gamma=0.9, exploration=0.1, initial_value=0.0, seed=1)
    model.learn(session.learners[0].n_steps)
    np.testing.assert_array_equal(session.learners[0].q_table, model.policy.q_table)
    assert session.learners[0].curve.points()[0, 1] == pytest.approx(env.episode_returns[0])


def test_the_exact_solution_is_value_iteration(example):
    head, arrays = unpacked(Session(example("Slippery")).world_message())
    np.testing.assert_allclose(arrays["exact"], value_iteration(GridWorld("FrozenLake4x4").mdp, 0.99).q_values, 1e-6)
    assert head["optimum"] == pytest.approx(0.8235, abs=1e-4)  # of reaching the goal at all, without a time limit


def test_an_endless_world_has_no_optimal_sum_of_rewards(example):
    head, arrays = unpacked(Session(example("Jumps")).world_message())
    assert head["optimum"] is None
    assert len(arrays["exact"]) == 25


def test_both_agents_make_as_many_steps(example):
    session = Session(example("Four rooms: shaping"))  # the second one is far slower
    session.handle(Message("run", speed=0))
    for _ in range(4):
        session.advance(0.02, 0.03)
    first, second = session.learners
    assert first.n_steps == second.n_steps > 0


def test_a_single_step_is_spelled_out_and_pauses(corridor):
    session = Session(corridor)
    session.handle(Message("run", speed=0))
    session.handle(Message("step"))
    head, _ = unpacked(session.frame(1))
    assert not head["running"]
    assert head["agents"][0]["steps"] == 1
    assert head["agents"][0]["step"]["updates"][0]["new_value"] == session.learners[0].q_table.min()


def test_steps_and_chunks_learn_the_same_table(corridor):
    stepped, run = Session(corridor), Session(corridor)
    for _ in range(60):
        stepped.handle(Message("step"))
    run_for(run, 60)
    np.testing.assert_array_equal(stepped.learners[0].q_table, run.learners[0].q_table)
    np.testing.assert_array_equal(stepped.learners[0].curve.points(), run.learners[0].curve.points())


def test_step_size_and_exploration_change_without_forgetting(corridor):
    session = Session(corridor)
    run_for(session, 50)
    learner = session.learners[0]
    assert not setup(session, agents=[{"algo": "q_learning", "alpha": 0.25, "epsilon": 0.5, "seed": 3}])
    assert session.learners[0] is learner
    session.handle(Message("step"))
    assert session.explained[0]["updates"][0]["alpha"] == 0.25
    assert learner.model.exploration == EpsilonGreedy(0.5)


@pytest.mark.parametrize("change", [{"gamma": 0.5}, {"agents": [{"algo": "sarsa"}]}, {"world": {"map": ["SG"]}}])
def test_anything_else_starts_anew(corridor, change):
    session = Session(corridor)
    run_for(session, 50)
    assert setup(session, **change)
    assert session.learners[0].n_steps == 0


def test_reset_forgets_and_repeats(corridor):
    session = Session(corridor)
    run_for(session, 100)
    before = session.learners[0].q_table
    session.handle(Message("reset"))
    assert not session.learners[0].visits.any()
    run_for(session, 100)
    np.testing.assert_array_equal(session.learners[0].q_table, before)


def test_the_page_is_told_when_the_world_itself_changes(example):
    session = Session(example("A shortcut"))
    before = unpacked(session.world_message())[0]["map"]
    session.handle(Message("run", speed=2000))
    assert any(session.advance(1.0, 0.5) for _ in range(20))
    after, arrays = unpacked(session.world_message())
    assert after["map"] != before
    start = 5 * 9 + 3
    assert arrays["exact"][start].max() == pytest.approx(0.95**9)  # 10 steps, no longer 16


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"world": {"map": ["S.."]}}, "no goal"), ({"world": {"map": ["S#G"]}}, "cannot be reached"),
     ({"world": {"map": ["..G"]}}, "no start"), ({"world": {"map": ["S.G", "."]}}, "row 1"),
     ({"world": {"map": ["SxG"]}}, "unknown letter"), ({"world": {"map": ["S.G"], "wind": [0]}}, "wind"),
     ({"world": {"map": ["S."], "require_goal": False}, "gamma": 1.0}, "gamma=1"),
     ({"agents": [{"algo": "sarsa", "lambda_": 0.5, "n_steps": 3}]}, "choose n_steps or lambda_")],
)  # fmt: skip
def test_what_the_library_refuses_is_told_and_changes_nothing(corridor, change, reason):
    session = Session(corridor)
    run_for(session, 50)
    with pytest.raises(MessageError, match=reason):
        setup(session, **change)
    assert not session.running
    assert session.learners[0].n_steps == 50
    assert session.description == corridor["world"]


CELLS = st.sampled_from("#.SGHCKD^>v<Aax")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_world_that_can_be_drawn_breaks_a_session(data):
    side = st.integers(1, 4)
    height, width = data.draw(side), data.draw(side)
    row = st.text(CELLS, min_size=width, max_size=width)
    world = {
        "map": data.draw(st.lists(row, min_size=height, max_size=height)),
        "wind": data.draw(st.lists(st.integers(-3, 3), min_size=width, max_size=width)),
        "require_goal": data.draw(st.booleans()),
        "jumps": data.draw(st.sampled_from([{}, {"A": ["a", 1.0]}, {"S": ["G", 1.0]}])),
        "rewards": data.draw(st.sampled_from([{}, {"x": -1.0}, {"x": 2.0, "H": 0.0}])),
        "rules": data.draw(
            st.fixed_dictionaries({}, optional={
                "slip": st.floats(0, 1), "king_moves": st.booleans(), "stay": st.booleans(),
                "random_start": st.booleans(), "goal_ends": st.booleans(), "step_reward": st.floats(-2, 2),
                "bump_reward": st.none() | st.floats(-1e6, 1e6)})
        ),
        "max_episode_steps": 7,
    }  # fmt: skip
    agent = {"algo": data.draw(st.sampled_from(["q_learning", "sarsa", "monte_carlo", "dyna_q"])),
             "shaping": data.draw(st.sampled_from(["none", "none", "distance", "value"]))}  # fmt: skip
    gamma = data.draw(st.sampled_from([0.0, 0.9, 1.0]))
    try:
        session = Session({"world": world, "gamma": gamma, "agents": [agent]})
        session.handle(Message("step"))
        session.handle(Message("run", speed=200))
        session.advance(0.01, 0.2)
    except MessageError:
        return
    head, arrays = unpacked(session.frame(1))
    assert np.isfinite(arrays["q0"]).all()
    assert head["agents"][0]["steps"] > 1
    unpacked(session.world_message())


def test_memory_of_a_learner_does_not_grow_with_its_episodes(corridor):
    learner = Learner(corridor["world"], AgentSettings(), 0.9)
    learner.learn(100_000, 1.0)
    assert learner.curve.n_episodes > 10_000
    assert not learner.monitor.episode_returns
    assert not learner.monitor.episode_times
    assert len(learner.curve.points()) <= N_BINS


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(-9, 9), max_size=300), max_size=8))
def test_a_curve_keeps_all_means(parts):
    curve = Curve()
    for part in parts:
        curve.add(part)
    returns, points = [value for part in parts for value in part], curve.points()
    assert curve.n_episodes == len(returns)
    ends = [0, *points[:, 0].astype(int)]
    assert ends[-1] == len(returns)
    for start, end, mean in zip(ends[:-1], ends[1:], points[:, 1], strict=True):
        assert mean == pytest.approx(np.mean(returns[start:end]), abs=1e-5)


def test_messages_to_the_page_can_be_read_back():
    arrays = {"q": np.arange(6.0).reshape(3, 2), "empty": np.zeros((0, 4)), "visits": np.array([1, 2, 3])}
    head, read = unpacked(packed({"type": "frame", "text": "é"}, arrays))
    assert head["text"] == "é"
    np.testing.assert_array_equal(read["q"], arrays["q"])
    assert read["empty"].shape == (0, 4)
    assert read["visits"].shape == (3, 1)


def test_a_world_without_an_end_has_no_exact_solution_at_a_gamma_that_would_take_minutes():
    endless = GridWorld.from_dict({"map": ["S..G"], "rules": {"goal_ends": False}})
    assert Exact(endless, 0.99).problem == ""
    assert "take too long at gamma 0.99999" in Exact(endless, 0.99999).problem
    assert Exact(GridWorld.from_dict({"map": ["S..G"]}), 0.99999).problem == ""
