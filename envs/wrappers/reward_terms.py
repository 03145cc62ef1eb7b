"""Rewards made of terms, each of which stays visible: ``reward = raw + term + term + ...``

Whoever changes a reward should be able to say by how much. Every reward wrapper of this package is a ``RewardTerms``:
it adds one number to the reward, and reports it. What reaches ``info``:

    reward_terms    each step: {"raw": the environment's own reward, "step_penalty": -0.1, ...}; they sum to the reward
    raw_return      at the end of an episode: the sum of the raw rewards
    shaped_return   at the end of an episode: the sum of the rewards that the agent was given
    term_returns    at the end of an episode: the sum of each term

Where SB3's ``Monitor`` stands decides what SB3 calls the reward:

    make_vec_env(id, wrapper_class=wrap)                   wrap(Monitor(env)): Monitor, ``rollout/ep_rew_mean``,
                                                           ``evaluate_policy`` and ``EvalCallback`` show the RAW return.
                                                           raw_return and shaped_return are added to info["episode"].
    make_vec_env(lambda: wrap(gym.make(id)),               Monitor(wrap(env)): they all show the SHAPED return, and both
        monitor_kwargs={"info_keywords": RETURN_KEYS})     returns are columns of monitor.csv.

Train with either; evaluate with the first, or without the wrappers. ``RewardTermsCallback`` logs all returns.

Not covered: ``HerReplayBuffer`` asks the environment for the rewards of relabelled transitions (``compute_reward``),
and gets raw ones. Clipping or scaling a reward is Gymnasium's ``ClipReward`` and ``TransformReward``; what they change
below a ``RewardTerms`` shows up in it as the raw reward, what they change between two of them as the term "other".
Read next: ``shaping.py``.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.callbacks import BaseCallback

RETURN_KEYS = ("raw_return", "shaped_return")
"""Keys of ``info`` at the end of an episode, for Monitor's ``info_keywords``."""

Success = Callable[[Any, float, bool, Mapping[str, Any]], bool]
"""Says whether a step reached the aim: ``success(observation, reward, terminated, info)``."""


def add_term(info: Mapping[str, Any], reward: float, name: str, value: float) -> dict[str, float]:
    """The terms of a reward, with one more.

    Args:
        info: The step's info; its "reward_terms", if any, are the terms so far.
        reward: The reward so far.
        name: Name of the new term; a second term of that name becomes "name_2".
        value: What it adds to the reward.

    Returns:
        Term -> value, starting with "raw"; the values sum to ``reward + value``.

    Example:
        >>> add_term({}, 1.0, "step_penalty", -0.1)
        {'raw': 1.0, 'step_penalty': -0.1}
        >>> add_term({"reward_terms": {"raw": 1.0}}, 0.5, "bonus", 2.0)  # something unknown took 0.5 away
        {'raw': 1.0, 'other': -0.5, 'bonus': 2.0}
    """
    terms = terms_so_far(info, reward)
    free_name, copies = name, 1
    while free_name in terms:
        copies += 1
        free_name = f"{name}_{copies}"
    terms[free_name] = value
    return terms


def terms_so_far(info: Mapping[str, Any], reward: float) -> dict[str, float]:
    """The terms of a reward; they sum to it, for what none of them explains is the term "other".

    Example:
        >>> terms_so_far({"reward_terms": {"raw": 1.0}}, 0.5)
        {'raw': 1.0, 'other': -0.5}
    """
    terms = dict(info.get("reward_terms", {"raw": reward}))
    unexplained = reward - sum(terms.values())
    if not math.isclose(unexplained, 0.0, abs_tol=1e-6 * max(1.0, abs(reward))):
        terms["other"] = terms.get("other", 0.0) + unexplained
    return terms


def finite(name: str, value: Any) -> float:
    """The value as a number.

    Raises:
        ValueError: If it is not one finite number; the message begins with its name.
    """
    try:
        number = float(value) if np.ndim(value) == 0 else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; it must be one finite number")
    return number


class TermSums:
    """Sums the terms of one episode."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}

    def add(self, terms: Mapping[str, float]) -> None:
        """Adds the terms of a step."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def report(self, info: dict[str, Any]) -> None:
        """Writes the episode's returns into the info of its last step, and into Monitor's entry if there is one."""
        returns = {"raw_return": self.sums["raw"], "shaped_return": sum(self.sums.values())}
        info.update(returns, term_returns=dict(self.sums))
        if "episode" in info and "r" in info["episode"]:
            info["episode"] = {**info["episode"], **returns}


class RewardTerms(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Reports raw and shaped returns; the base class of all wrappers that add a term to the reward.

    Alone it adds nothing, and makes the infos of a raw environment look like those of a shaped one. A subclass
    overrides ``term`` (and ``begin`` if it remembers something of the episode) and sets ``term_name``.

    Args:
        env: The environment; other ``RewardTerms`` may be below.

    Example:
        >>> class Bonus(RewardTerms):
        ...     term_name = "bonus"
        ...     def term(self, observation, reward, terminated, truncated, info):
        ...         return 0.5
        >>> env = Bonus(gym.make("FrozenLake-v1"))
        >>> _ = env.reset(seed=0)
        >>> _, reward, _, _, info = env.step(0)
        >>> reward, info["reward_terms"]
        (0.5, {'raw': 0.0, 'bonus': 0.5})
    """

    term_name: str | None = None

    holds_its_start = True  # what a state restored from outside does not change

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self._episode = TermSums()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode and its sums."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode = TermSums()
        self.begin(observation, seed)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the environment, adds the term to the reward and reports it."""
        observation, inner_reward, terminated, truncated, info = self.env.step(action)
        reward = float(inner_reward)
        info = dict(info)
        if self.term_name is None:
            info["reward_terms"] = terms_so_far(info, reward)
        else:
            value = float(self.term(observation, reward, terminated, truncated, info))
            info["reward_terms"] = add_term(info, reward, self.term_name, value)
            reward += value
        self._episode.add(info["reward_terms"])
        if terminated or truncated:
            self._episode.report(info)
        return observation, reward, terminated, truncated, info

    def begin(self, observation: Any, seed: int | None) -> None:
        """Called at reset with S_0 and the seed that reset was given."""

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """What to add to the reward of a step, given what it led to. 0 unless overridden."""
        return 0.0


class StepPenalty(RewardTerms):
    """Takes ``penalty`` away at every step, so that shorter is better even without discounting.

    Beware: where an episode can end early without success, dying quickly may become the best policy.

    Args:
        env: The environment.
        penalty: Cost of a step, >= 0.

    Raises:
        ValueError: If ``penalty`` is negative or no number.
    """

    term_name = "step_penalty"

    def __init__(self, env: gym.Env[Any, Any], penalty: float = 0.01) -> None:
        if not (math.isfinite(penalty) and penalty >= 0):
            raise ValueError(f"penalty must be >= 0 (it is taken away at every step), got {penalty}")
        RecordConstructorArgs.__init__(self, penalty=penalty)
        super().__init__(env)
        self.penalty = penalty

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """-penalty."""
        return -self.penalty


class SparseReward(RewardTerms):
    """Replaces the reward by 1 on success and 0 otherwise: the honest aim, and the hardest to explore.

    Args:
        env: The environment.
        success: ``success(observation, reward, terminated, info) -> bool``; by default ``info["is_success"]``, SB3's
            convention. For a world that pays only at its goal: ``lambda observation, reward, terminated, info:
            reward > 0``.

    Raises:
        ValueError: At the end of an episode, if neither ``success`` nor ``info["is_success"]`` was there.
    """

    term_name = "sparse"

    def __init__(self, env: gym.Env[Any, Any], success: Success | None = None) -> None:
        RecordConstructorArgs.__init__(self, success=success)
        super().__init__(env)
        self.success = success

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """The difference between the sparse reward and the one that it replaces."""
        if self.success is not None:
            return float(self.success(observation, reward, terminated, info)) - reward
        if (terminated or truncated) and "is_success" not in info:
            raise ValueError(
                f"SparseReward: {self.env} reports no info['is_success'] (got {sorted(info)}); "
                "pass success=lambda observation, reward, terminated, info: ..."
            )
        return float(info.get("is_success", False)) - reward


class DelayedReward(RewardTerms):
    """Pays what was earned later: every ``delay`` steps, or at the end of the episode. The return stays the same.

    Shows what temporal-difference learning suffers from and Monte Carlo does not (credit assignment). The reward then
    depends on more than S, A and S', so the world is no longer Markov.

    A TimeLimit belongs inside: of an episode that is cut off outside of this wrapper the rest is never paid.

    Args:
        env: The environment.
        delay: Steps between payments, >= 1; None pays once, at the end.

    Raises:
        ValueError: If ``delay`` is below 1.
    """

    term_name = "delayed"

    def __init__(self, env: gym.Env[Any, Any], delay: int | None = None) -> None:
        if delay is not None and delay < 1:
            raise ValueError(f"delay must be at least 1 step (1 changes nothing) or None, got {delay}")
        RecordConstructorArgs.__init__(self, delay=delay)
        super().__init__(env)
        self.delay = delay

    def begin(self, observation: Any, seed: int | None) -> None:
        """Nothing is owed yet."""
        self._owed = 0.0
        self._waited = 0

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """Minus the reward while it is held back; plus what was owed when it is paid."""
        self._waited += 1
        if terminated or truncated or self._waited == self.delay:
            payment, self._owed, self._waited = self._owed, 0.0, 0
            return payment
        self._owed += reward
        return -reward


class RewardTermsCallback(BaseCallback):
    """Logs mean returns of the last ``window`` episodes, to TensorBoard and wherever else SB3 logs.

    Keys: ``rollout/raw_return_mean``, ``rollout/shaped_return_mean``, and ``reward_terms/<name>`` for the sum of each
    term over an episode.

    Args:
        window: Number of episodes that a mean runs over.

    Raises:
        ValueError: When an episode ends that does not report its returns.
    """

    def __init__(self, window: int = 100) -> None:
        super().__init__()
        self._episodes: deque[dict[str, Any]] = deque(maxlen=window)

    def _on_step(self) -> bool:
        ended = [info for info, done in zip(self.locals["infos"], self.locals["dones"], strict=True) if done]
        for info in ended:
            if "term_returns" not in info:
                raise ValueError(
                    f"an episode ended without 'term_returns' in its info (it has {sorted(info)}); "
                    "wrap the environment in sb3_ext.envs.RewardTerms or in one of its subclasses"
                )
        self._episodes.extend(ended)
        if ended:
            self._record()
        return True

    def _on_rollout_end(self) -> None:
        if self._episodes:
            self._record()

    def _record(self) -> None:
        for key in RETURN_KEYS:
            self.logger.record(f"rollout/{key}_mean", float(np.mean([info[key] for info in self._episodes])))
        for name in {name for info in self._episodes for name in info["term_returns"]}:
            mean = np.mean([info["term_returns"].get(name, 0.0) for info in self._episodes])
            self.logger.record(f"reward_terms/{name}", float(mean))
