"""What every wrapper has to do: both checkers, specs, pickling, seeds, vectorised environments."""

import pickle
import warnings
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.utils.env_checker import data_equivalence
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ext.envs.wrappers.curriculum import DifficultyLevels, RandomizeDynamics
from sb3_ext.envs.wrappers.exploration import CountBonus, SimHash
from sb3_ext.envs.wrappers.observation import DiscretizeObservation, FlattenDiscrete, OneHot
from sb3_ext.envs.wrappers.reward_hacking import ForgetfulProgress
from sb3_ext.envs.wrappers.reward_terms import DelayedReward, RewardTerms, SparseReward, StepPenalty
from sb3_ext.envs.wrappers.shaping import DistanceReward, PotentialShaping, ProgressReward
from sb3_ext.envs.wrappers.teaching import Narrate, SlipAction


def angle(observation: np.ndarray) -> float:
    return -abs(float(observation[2]))


def pays(observation, reward, terminated, info) -> bool:
    return reward > 0


def lake() -> gym.Env:
    return gym.make("FrozenLake-v1")


def cartpole() -> gym.Env:
    return gym.make("CartPole-v1")


WRAPPED: dict[str, Callable[[], gym.Env]] = {
    "RewardTerms": lambda: RewardTerms(lake()),
    "StepPenalty": lambda: StepPenalty(lake(), 0.1),
    "SparseReward": lambda: SparseReward(lake(), pays),
    "DelayedReward": lambda: DelayedReward(cartpole(), 3),
    "PotentialShaping-distance": lambda: PotentialShaping(lake(), "distance", 0.9),
    "PotentialShaping-progress": lambda: PotentialShaping(lake(), "progress", 0.9),
    "PotentialShaping-value": lambda: PotentialShaping(lake(), "value", 0.9),
    "PotentialShaping-table": lambda: PotentialShaping(lake(), np.arange(16.0), 0.9),
    "PotentialShaping-callable": lambda: PotentialShaping(cartpole(), angle, 0.9),
    "DistanceReward": lambda: DistanceReward(lake()),
    "ProgressReward": lambda: ProgressReward(cartpole(), angle),
    "CountBonus": lambda: CountBonus(lake(), 0.5),
    "CountBonus-hash": lambda: CountBonus(cartpole(), 0.5, SimHash(cartpole().observation_space)),
    "ForgetfulProgress": lambda: ForgetfulProgress(lake()),
    "RandomizeDynamics-attributes": lambda: RandomizeDynamics(cartpole(), {"length": (0.3, 0.8), "tau": [0.01, 0.02]}),
    "RandomizeDynamics-arguments": lambda: RandomizeDynamics(lake(), {"success_rate": (0.3, 1.0)}),
    "DifficultyLevels": lambda: DifficultyLevels(lake(), [{"success_rate": 0.9}, {"success_rate": 0.4}]),
    "DiscretizeObservation": lambda: DiscretizeObservation(cartpole()),
    "FlattenDiscrete": lambda: FlattenDiscrete(gym.make("Blackjack-v1")),
    "OneHot": lambda: OneHot(lake()),
    "SlipAction": lambda: SlipAction(lake(), 0.3, "sideways"),
    "Narrate": lambda: Narrate(lake()),
    "all": lambda: PotentialShaping(
        CountBonus(DiscretizeObservation(RandomizeDynamics(cartpole(), {"length": (0.3, 0.8)}))), np.arange(432.0), 0.9
    ),
}
every_wrapper = pytest.mark.parametrize("name", WRAPPED)


def rollout(env: gym.Env, seed: int, n_steps: int = 60) -> list:
    """Everything that an environment says in some steps of random actions."""
    env.action_space.seed(seed)
    said = [env.reset(seed=seed)]
    for _ in range(n_steps):
        said.append(env.step(env.action_space.sample()))
        if said[-1][2] or said[-1][3]:
            said.append(env.reset())
    return said


@every_wrapper
def test_both_checkers_pass(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they advise on the wrapped environments' own spaces
        gymnasium_check_env(WRAPPED[name](), skip_render_check=True)
        sb3_check_env(WRAPPED[name](), skip_render_check=True)


@every_wrapper
def test_seeds_repeat_and_differ(name):
    first, again, another = (rollout(WRAPPED[name](), seed) for seed in (3, 3, 4))
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first, another)


@every_wrapper
def test_pickled_in_the_middle_it_goes_on_the_same(name):
    env = WRAPPED[name]()
    rollout(env, 0, 20)
    copy = pickle.loads(pickle.dumps(env))
    assert data_equivalence(rollout(env, 1), rollout(copy, 1), exact=True)


@every_wrapper
def test_the_spec_makes_the_same_environment(name):
    env = WRAPPED[name]()
    made = gym.make(env.spec)
    assert str(made) == str(env)
    assert data_equivalence(rollout(made, 0), rollout(env, 0), exact=True)


def everything() -> gym.Env:
    """Most wrappers at once, importable by a worker process."""
    env = RandomizeDynamics(gym.make("FrozenLake-v1"), {"success_rate": (0.3, 1.0)})
    env = StepPenalty(CountBonus(PotentialShaping(SlipAction(env, 0.2), "distance", 0.99)))
    return OneHot(DelayedReward(env, 2))


@pytest.mark.slow
def test_dummy_and_subproc_agree():
    envs = [DummyVecEnv([everything] * 2), SubprocVecEnv([everything] * 2, start_method="spawn")]
    results = []
    for env in envs:
        env.seed(0)
        rng = np.random.default_rng(0)
        steps = [env.reset()]
        steps += [env.step(rng.integers(0, 4, 2)) for _ in range(60)]
        results.append(steps)
        env.close()
    assert data_equivalence(results[0][0], results[1][0], exact=True)
    for ours, theirs in zip(results[0][1:], results[1][1:], strict=True):
        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[1], theirs[1].astype(np.float32))  # DummyVecEnv keeps rewards in float32
        assert np.array_equal(ours[2], theirs[2])
        assert data_equivalence(list(ours[3]), list(theirs[3]), exact=True)
