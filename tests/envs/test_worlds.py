"""What every world of the book owes: both API checks, seeds, a docstring, a model that is true, and SB3 on top."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sb3_ext.envs.textbook.baird import Baird
from sb3_ext.envs.textbook.bandits import Bandit
from sb3_ext.envs.textbook.blackjack import Blackjack
from sb3_ext.envs.textbook.car_rental import CarRental
from sb3_ext.envs.textbook.gambler import Gambler
from sb3_ext.envs.textbook.maximization_bias import MaximizationBias
from sb3_ext.envs.textbook.random_walk import RandomWalk
from sb3_ext.envs.textbook.short_corridor import ShortCorridor
from sb3_ext.envs.wrappers.reward_hacking import RewardHacking

CLASSES = [Bandit, Blackjack, RandomWalk, MaximizationBias, ShortCorridor, Gambler, CarRental, Baird]
WORLDS = [
    *((cls, {}) for cls in CLASSES),
    (RewardHacking, {}),
    (Bandit, {"drift": 0.1, "endless": True}),
    (RandomWalk, {"n_states": 19, "left_reward": -1.0}),
    (ShortCorridor, {"aliased": False}),
    (Gambler, {"goal": 10, "p_heads": 0.55}),
    (Blackjack, {"natural": True, "sab": False}),
    (CarRental, {"free_shuttle": True, "parking_fee": 4.0}),
]
SMALL = [world for world in WORLDS if world[0] is not CarRental and "drift" not in world[1]]

worlds = pytest.mark.parametrize(("cls", "arguments"), WORLDS)
SECTIONS = ("Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments")


def rollout(env, seed, n_steps=200):
    """Everything that random play returns, as one list of numbers; actions have a seed of their own."""
    actions = np.random.default_rng(seed + 1000).integers(env.action_space.n, size=n_steps)
    record = [int(env.reset(seed=seed)[0])]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        record += [int(observation), reward, terminated, truncated]
        if terminated:
            record.append(int(env.reset()[0]))
    return record


@worlds
def test_both_checks_pass(cls, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*alternative render modes")  # asks for gym.make
        gymnasium_check_env(cls(**arguments))
        sb3_check_env(cls(**arguments))


@worlds
def test_a_seed_is_a_run(cls, arguments):
    env = cls(**arguments)
    first = rollout(env, seed=3)
    assert rollout(env, seed=3) == first
    assert rollout(cls(**arguments), seed=3) == first
    assert rollout(env, seed=4) != first


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_has_gymnasiums_sections(cls):
    for section in SECTIONS:
        assert f"## {section}\n" in cls.__doc__, section
    assert "## References\n" in cls.__doc__
    assert "Sutton & Barto" in cls.__doc__.split("## References")[1]


@pytest.mark.parametrize(("cls", "arguments"), SMALL)
def test_play_agrees_with_the_model(cls, arguments):
    """Every outcome that is played has a probability; frequencies and mean rewards are within five standard errors."""
    env, rng = cls(**arguments), np.random.default_rng(1)
    mdp, visits, rewards = env.mdp, {}, {}
    env.reset(seed=0)
    for _ in range(8000):
        state, action = int(getattr(env, "state", 0)), int(rng.integers(mdp.n_actions))
        _, reward, terminated, _, _ = env.step(action)
        outcome = (int(getattr(env, "state", 0)), bool(terminated))
        visits.setdefault((state, action), []).append(outcome)
        rewards.setdefault((state, action), []).append(reward)
        if terminated:
            env.reset()
    for pair, outcomes in visits.items():
        chances: dict[tuple[int, bool], float] = {}
        for p, next_state, end in zip(mdp.probability[pair], mdp.next_state[pair], mdp.terminated[pair], strict=True):
            chances[int(next_state), bool(end)] = chances.get((int(next_state), bool(end)), 0.0) + p
        n = len(outcomes)
        assert all(chances.get(outcome, 0.0) > 0 for outcome in outcomes), pair
        for outcome, chance in chances.items():
            p = min(chance, 1.0)  # a sum may be rounded up
            assert abs(outcomes.count(outcome) - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1.5, (pair, outcome)
        spread = max(np.std(rewards[pair]), 1e-9)
        if n > 30:
            assert abs(np.mean(rewards[pair]) - mdp.expected_reward[pair]) <= 6 * spread / np.sqrt(n) + 1.5 / n, pair


@pytest.mark.parametrize("cls", [*CLASSES, RewardHacking])
def test_the_model_is_one_object(cls):
    """Who measured a world can see by that whether it has changed."""
    env = cls()
    assert env.mdp is env.mdp


@pytest.mark.parametrize("cls", [*CLASSES, RewardHacking])
@pytest.mark.parametrize("action", [-1, 1000])
def test_actions_that_are_none(cls, action):
    env = cls()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"are 0 to .*, got {action}"):
        env.step(action)


@pytest.mark.parametrize("cls", CLASSES)
def test_sb3_learns_on_it(cls):
    """Through a time limit, for some worlds never end; two updates of PPO are enough to see that the spaces fit."""
    env = gym.wrappers.TimeLimit(cls(), 20)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(64)
    assert model.num_timesteps == 64
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(model.predict(observation)[0].item())
