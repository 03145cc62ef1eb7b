"""Logs as SB3, RL Zoo and sb3-ext benchmark write them, made by hand, and runs made of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from sb3_ext.zoo.plot.readers import EVALUATIONS, Log
from sb3_ext.zoo.plot.runs import Run


@pytest.fixture
def monitor():
    """Write a Monitor file of episodes (return, length)."""

    def write(file, episodes, env="CartPole-v1"):
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{return_},{length},{1.5 + i}" for i, (return_, length) in enumerate(episodes)]
        head = json.dumps({"t_start": 1.0, "env_id": env})
        file.write_text("\n".join([f"#{head}", "r,l,t", *lines]) + "\n")
        return file

    return write


@pytest.fixture
def evaluations():
    """Write an evaluations.npz with the same return in each of three episodes."""

    def write(folder, timesteps, returns):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "evaluations.npz", timesteps=timesteps, results=np.repeat(np.c_[returns], 3, axis=1))
        return folder

    return write


@pytest.fixture
def benchmark():
    """Write runs of ``sb3-ext benchmark`` with these final scores, of seeds 0, 1, ..."""

    def write(root, algo, env, scores, n_timesteps=1000):
        for seed, score in enumerate(scores):
            folder = root / algo / f"{env}_{seed + 1}"
            folder.mkdir(parents=True)
            run = {"algo": algo, "env_id": env, "seed": seed, "score": score, "n_timesteps": n_timesteps,
                   "seconds": 1.0, "settings": {}, "versions": {}}  # fmt: skip
            (folder / "run.json").write_text(json.dumps(run))
            rows = [f"{step},{score * step / n_timesteps}" for step in range(100, n_timesteps + 1, 100)]
            (folder / "curve.csv").write_text("\n".join(["timestep,return", *rows]) + "\n")
        return root

    return write


@pytest.fixture
def run():
    """Make a run with a straight learning curve, evaluated ten times."""

    def make(algo="ppo", env="CartPole-v1", number=1, score=100.0, length=1000.0, name=None, **log):
        steps = np.linspace(length / 10, length, 10)
        of = Log(steps, score * steps / length, False, length, score, EVALUATIONS)._replace(**log)
        return Run(algo, env, name or f"run {number}", "logs", Path(f"logs/{algo}/{env}_{number}"), of)

    return make


@pytest.fixture
def many(run):
    """Two algorithms on two environments with five runs each, unlike each other."""
    generator = np.random.default_rng(0)
    return [
        run(algo, env, number, better * scale + 0.1 * scale * generator.normal())
        for algo, better in (("ppo", 1.0), ("dqn", 0.7))
        for env, scale in (("CartPole-v1", 500.0), ("sb3_ext/Maze-v0", 1.0))
        for number in range(1, 6)
    ]
