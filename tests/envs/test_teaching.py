"""Actions that slip, counted; and what the narrator says, word for word."""

import io

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_ext.envs.wrappers.teaching import Narrate, SlipAction


def executed(env: gym.Env, action: int, n_steps: int = 4000) -> np.ndarray:
    """How often each action was executed when one was meant, as shares."""
    env.reset(seed=0)
    counts = np.zeros(env.action_space.n)
    for _ in range(n_steps):
        *_, terminated, truncated, info = env.step(action)
        counts[info["executed_action"]] += 1
        if terminated or truncated:
            env.reset()
    return counts / n_steps


def test_random_slips_have_the_right_shares():
    env = SlipAction(gym.make("CliffWalking-v1"), 0.4)
    assert executed(env, 2) == pytest.approx([0.1, 0.1, 0.7, 0.1], abs=0.03)  # 3 standard deviations are 0.022


def test_sideways_slips_go_to_both_sides_only():
    env = SlipAction(gym.make("FrozenLake-v1"), 0.4, "sideways")
    assert executed(env, 0) == pytest.approx([0.6, 0.2, 0.0, 0.2], abs=0.03)


def test_sideways_slips_go_round_the_circle_that_is_given():
    env = SlipAction(gym.make("Taxi-v4"), 0.4, "sideways", circle=(0, 2, 1, 3))  # south, east, north, west
    assert executed(env, 0) == pytest.approx([0.6, 0, 0.2, 0.2, 0, 0], abs=0.03)
    assert executed(env, 5) == pytest.approx([0, 0, 0, 0, 0, 1.0])  # to drop off never slips


def test_what_is_executed_is_what_happens():
    env, plain = SlipAction(gym.make("CliffWalking-v1"), 0.9), gym.make("CliffWalking-v1")
    env.reset(seed=0)
    plain.reset(seed=0)
    for _ in range(200):
        observation, reward, *_, info = env.step(0)
        assert plain.step(info["executed_action"])[:2] == (observation, reward)
    assert executed(SlipAction(gym.make("CliffWalking-v1"), 0.0), 1)[1] == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SlipAction(gym.make("Taxi-v4"), 1.5), r"probability must lie in \[0, 1\], got 1.5"),
        (lambda: SlipAction(gym.make("Taxi-v4"), float("nan")), "got nan"),
        (lambda: SlipAction(gym.make("Pendulum-v1"), 0.1), "needs Discrete actions.*DiscretizeAction"),
        (lambda: SlipAction(gym.make("Taxi-v4"), 0.1, "up"), "unknown kind 'up'"),
        (lambda: SlipAction(gym.make("Taxi-v4"), 0.1, "sideways", (0, 7)), r"different actions of .*got \(0, 7\)"),
        (lambda: Narrate(gym.make("Taxi-v4"), actions=["a"]), "1 names for the actions"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_episode_that_terminates_in_the_words_of_the_book():
    page = io.StringIO()
    env = Narrate(gym.make("CliffWalking-v1"), page, ["up", "right", "down", "left"], gamma=0.5)
    env.reset(seed=0)
    for action in (0, *[1] * 11, 2):
        env.step(action)
    lines = page.getvalue().splitlines()
    assert lines[0] == "--- a new episode: S_0 = 36"
    assert lines[1] == "t=0: in S_0 = 36, action A_0 = up gives reward R_1 = -1 and state S_1 = 24; return so far -1"
    assert (
        lines[2] == "t=1: in S_1 = 24, action A_1 = right gives reward R_2 = -1 and state S_2 = 25; return so far -1.5"
    )
    assert lines[-1].startswith("terminated: S_13 is terminal and has no future, so its value is 0. G_0 = -1.99976")
    assert len(lines) == 1 + 13 + 1


def test_an_episode_that_is_truncated_says_to_bootstrap(capsys):
    env = Narrate(gym.make("FrozenLake-v1", max_episode_steps=2, is_slippery=False))
    for _ in range(2):
        env.reset(seed=0)
        env.step(0)
        env.step(0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == lines[4:]
    assert lines[3] == (
        "truncated: time is up, but S_2 is not terminal and keeps its value: bootstrap from it. G_0 = 0 after 2 steps"
    )


class Start(gym.ObservationWrapper):
    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Dict(place=spaces.Box(0, 1, (2,)), parts=spaces.Tuple([spaces.Discrete(2)] * 2))

    def observation(self, observation):
        return {"place": np.array([1 / 3, 0], np.float32), "parts": (1, 0)}


def test_composite_observations_are_told_on_one_line():
    page = io.StringIO()
    Narrate(Start(gym.make("FrozenLake-v1")), page).reset(seed=0)
    assert page.getvalue() == "--- a new episode: S_0 = {place: [0.333 0. ], parts: (1, 0)}\n"
