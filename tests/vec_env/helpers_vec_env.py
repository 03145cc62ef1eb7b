"""Steps two vector environments side by side and compares everything they return."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv

Policy = Callable[[Any, int], np.ndarray]  # (observations, time) -> actions


def assert_same(ours: Any, theirs: Any, where: str, tolerance: float) -> None:
    """Compares nested dictionaries, lists, arrays and scalars, and their kinds; ``t`` of an episode is wall-clock."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        assert set(ours) == set(theirs), where
        for key in theirs.keys() - ({"t"} if {"r", "l", "t"} <= set(theirs) else set()):
            assert_same(ours[key], theirs[key], f"{where}.{key}", tolerance)
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray), where
        assert ours.shape == theirs.shape, where
        assert ours.dtype == theirs.dtype, where
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=where)
    elif isinstance(theirs, float | np.floating):
        assert abs(ours - theirs) <= tolerance, f"{where}: {ours} != {theirs}"
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(our, their, f"{where}[{index}]", tolerance)
    elif isinstance(theirs, int) and isinstance(ours, np.integer):  # VecMonitor's episode length is NumPy's
        assert ours == theirs, where
    else:
        assert type(ours) is type(theirs), where
        assert ours == theirs, where


def run_side_by_side(
    ours: VecEnv, theirs: VecEnv, policy: Policy, n_steps: int, tolerance: float = 0.0
) -> dict[str, int]:
    """Returns how many episodes ended by termination and by the time limit."""
    counts = {"terminated": 0, "truncated": 0}
    observations = ours.reset()
    assert_same(observations, theirs.reset(), "reset", tolerance)
    assert_same(ours.reset_infos, theirs.reset_infos, "reset_infos", tolerance)
    for time in range(n_steps):
        actions = policy(observations, time)
        our_step, their_step = ours.step(actions), theirs.step(actions)
        assert_same(list(our_step), list(their_step), f"step {time}", tolerance)
        assert_same(ours.reset_infos, theirs.reset_infos, f"reset_infos {time}", tolerance)
        observations, _, dones, infos = our_step
        for done, info in zip(dones, infos, strict=True):
            if done:
                counts["truncated" if info["TimeLimit.truncated"] else "terminated"] += 1
    return counts


class RichEnv(gym.Env[dict[str, np.ndarray], int]):
    """Dict observations, infos of many kinds, and ends of every kind, all drawn from the environment's generator."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}
    observation_space = gym.spaces.Dict(
        {"position": gym.spaces.Box(-1, 1, (3,), np.float32), "phase": gym.spaces.Discrete(5)}
    )
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.time = 0
        self.level = 3
        self.buffer = np.zeros(3, dtype=np.float32)  # handed out and overwritten: a careless but common habit

    def _observation(self) -> dict[str, Any]:
        self.buffer[:] = self.np_random.uniform(-1, 1, 3)
        return {"position": self.buffer, "phase": np.int64(self.time % 5)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.time = (options or {}).get("time", 0)
        return self._observation(), {"started": True, "start": {"luck": float(self.np_random.random())}}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.time += 1
        draw = self.np_random.random()
        info: dict[str, Any] = {"nothing": None, "text": f"t={self.time}", "count": self.time, "draw": float(draw)}
        info |= {"array": self.np_random.random(2), "nested": {"deep": {"flag": bool(draw < 0.5)}}}
        if self.time % 3 == 0:
            info["rare"] = np.float32(draw)
        return self._observation(), float(draw) + action, draw < 0.1, draw < 0.05 or draw > 0.9, info

    def render(self) -> np.ndarray:
        return np.full((4, 6, 3), self.time, dtype=np.uint8)

    def add(self, first: int, second: int = 0) -> int:
        return first + second + self.level
