"""The flawed shaping is farmed, by the exact optimum and by a trained agent; the potential is not."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from matplotlib.figure import Figure

from sb3_ext.envs.wrappers.reward_hacking import (
    BONUS,
    GAMMA,
    RewardHacking,
    TrainingReturns,
    forgetful_corridor,
    hacked_mdp,
    plot_returns,
    potential_corridor,
    reward_hacking_figure,
    train_and_record,
)
from sb3_ext.envs.wrappers.shaping_proof import compare_optimal_actions, shaped_mdp, steps_to_goal
from sb3_ext.tabular import value_iteration

LEFT, RIGHT = 0, 1


def test_the_world_and_its_model_are_the_same():
    env = RewardHacking(n_cells=5)
    rng = np.random.default_rng(0)
    state, _ = env.reset(seed=0)
    for _ in range(200):
        action = int(rng.integers(2))
        next_state, reward, terminated, _, info = env.step(action)
        place = (state, action, 0)
        model = env.mdp
        assert (next_state, reward, terminated) == (
            model.next_state[place],
            model.reward[place],
            model.terminated[place],
        )
        assert info["is_success"] == terminated
        state = env.reset()[0] if terminated else next_state


def test_the_optimum_of_the_flawed_reward_never_arrives():
    mdp = RewardHacking().mdp
    flawed = compare_optimal_actions(mdp, hacked_mdp(mdp), GAMMA)
    last_before_goal = mdp.n_states - 2
    assert last_before_goal in flawed.misled_states
    assert flawed.shaped[last_before_goal].tolist() == [True, False]  # turns round in front of the goal
    farming = BONUS * GAMMA / (1 - GAMMA**2)  # back, forth, back, forth for ever
    assert value_iteration(hacked_mdp(mdp), GAMMA).values[last_before_goal] == pytest.approx(farming, rel=1e-6)
    sound = shaped_mdp(mdp, -BONUS * steps_to_goal(mdp), GAMMA)
    assert compare_optimal_actions(mdp, sound, GAMMA).unchanged


def farm(env: gym.Env) -> tuple[float, float]:
    """Raw and shaped return of stepping to and fro."""
    env.reset(seed=0)
    for t in range(50):
        *_, truncated, info = env.step(RIGHT if t % 2 == 0 else LEFT)
    assert truncated
    return info["raw_return"], info["shaped_return"]


def test_farming_pays_under_the_flawed_shaping_only():
    assert farm(forgetful_corridor()) == (0.0, pytest.approx(25 * BONUS))
    raw, shaped = farm(potential_corridor())
    arrival = 1.0 + 7 * BONUS
    assert raw == 0.0
    assert shaped < arrival
    assert arrival < 25 * BONUS


def test_bad_input():
    with pytest.raises(RuntimeError, match="call reset"):
        RewardHacking().step(RIGHT)
    with pytest.raises(ValueError, match=r"n_cells must be at least 2.*got 1"):
        RewardHacking(1)


def test_the_plot_shows_both_returns_in_each_panel():
    returns = TrainingReturns(np.arange(10), np.zeros(10), np.ones(10))
    figure = plot_returns({"a": returns, "b": returns}, window=4)
    assert [panel.get_title() for panel in figure.axes] == ["a", "b"]
    shaped, raw = figure.axes[0].lines[:2]
    assert shaped.get_ydata() == pytest.approx(np.ones(7))
    assert raw.get_ydata() == pytest.approx(np.zeros(7))
    assert "shaped" in shaped.get_label()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_agent_learns_to_farm(seed):
    hacked = train_and_record(forgetful_corridor, 12_000, seed)
    assert hacked.raw[:20].mean() > 0.4  # at first it arrives by chance
    assert hacked.raw[-40:].mean() < 0.2  # then it has learned not to
    assert hacked.shaped[-40:].mean() > hacked.shaped[:20].mean()
    sound = train_and_record(potential_corridor, 12_000, seed)
    assert sound.raw[-40:].mean() > 0.95


@pytest.mark.slow
def test_the_figure_is_made_by_one_call(tmp_path):
    figure = reward_hacking_figure(timesteps=2048)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "hacking.png")
    assert (tmp_path / "hacking.png").stat().st_size > 10_000


def test_the_time_limit_is_outside_the_world():
    env = TimeLimit(RewardHacking(), 3)
    env.reset(seed=0)
    assert [env.step(LEFT)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
