"""Measurements of the tabular algorithms, for ``sb3-ext speed tabular``."""

import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext.algos import load

ENV_ID = "FrozenLake-v1"
COMPILED = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")
N_STEPS = 10_000_000  # of a compiled training
HYPERPARAMETERS = {"learning_rate": 0.1, "gamma": 0.99, "exploration": 0.1, "initial_value": 1.0}  # the loop's as well
FIRST_STEPS = "from sb3_ext import QLearning; QLearning('TabularPolicy', 'FrozenLake-v1').learn(1000)"


def hand_written_q_table(n_steps: int) -> tuple[float, np.ndarray]:
    """Q-learning as in a first course, a loop over ``env.step`` and a NumPy table: seconds it took, and the table."""
    env = gym.make(ENV_ID)
    alpha, gamma, epsilon, initial_value = HYPERPARAMETERS.values()
    q_table = np.full((env.observation_space.n, env.action_space.n), initial_value)  # type: ignore[attr-defined]
    env.action_space.seed(0)
    generator = np.random.default_rng(0)
    state, _ = env.reset(seed=0)
    started = time.perf_counter()
    for _ in range(n_steps):
        action = int(np.argmax(q_table[state]))
        if generator.random() < epsilon:
            action = env.action_space.sample()
        next_state, reward, terminated, truncated, _ = env.step(action)
        future = 0.0 if terminated else gamma * np.max(q_table[next_state])
        q_table[state, action] += alpha * (float(reward) + future - q_table[state, action])
        state = env.reset()[0] if terminated or truncated else next_state
    return time.perf_counter() - started, q_table


def hand_written_steps_per_second(n_steps: int = 200_000) -> float:
    """How fast that is."""
    return n_steps / hand_written_q_table(n_steps)[0]


def compiled_steps_per_second(algo: str) -> float:
    """A whole ``learn``, one environment."""
    model = load(algo)("TabularPolicy", ENV_ID, seed=0, engine="compiled", **HYPERPARAMETERS)
    model.learn(1000)  # whatever is set up on first use
    started = time.perf_counter()
    model.learn(N_STEPS)
    return N_STEPS / (time.perf_counter() - started)


def step_engine_steps_per_second(n_envs: int, n_steps: int = 40_000) -> float:
    """Q-learning by the step engine beside ``DummyVecEnv``."""
    env = make_vec_env(ENV_ID, n_envs, seed=0)
    model = load("q_learning")("TabularPolicy", env, seed=0, engine="step")
    model.learn(1000)
    started = time.perf_counter()
    model.learn(n_steps)
    return n_steps / (time.perf_counter() - started)


def bare_steps_per_second(n_envs: int, n_steps: int = 40_000) -> float:
    """The same environments under the actions of a like training, drawn beforehand: what is left without learning."""
    env = make_vec_env(ENV_ID, n_envs, seed=0)
    env.reset()
    actions = np.random.default_rng(0).integers(4, size=(n_steps // n_envs, n_envs))
    started = time.perf_counter()
    for row in actions:
        env.step(row)
    return n_steps / (time.perf_counter() - started)


def first_call_seconds() -> float:
    """What a first training takes in a fresh process beyond the import of SB3, with the engine compiled already."""
    seconds = []
    for code in (FIRST_STEPS, "import stable_baselines3"):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        seconds.append(time.perf_counter() - started)
    return seconds[0] - seconds[1]


def sweep_seconds() -> float:
    """100 seeds x 10 learning rates x 500 episodes of Q-learning on the cliff, on all cores."""
    from sb3_ext.tabular import QLearning, sweep

    started = time.perf_counter()
    rates = [rate / 10 for rate in range(1, 11)]
    sweep(QLearning, "CliffWalking-v1", {"learning_rate": rates}, seeds=100, n_episodes=500, exploration=0.1,
          initial_value=0.0, progress_bar=False)  # fmt: skip
    return time.perf_counter() - started
