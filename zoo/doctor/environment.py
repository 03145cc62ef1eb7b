"""Examines an environment: ``sb3-ext doctor --env``.

Both ``check_env``s, then random episodes, played twice where they have to be the same. What is wrong is a finding, what
is only worth knowing is a note.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as check_by_gymnasium
from stable_baselines3.common.env_checker import check_env as check_by_sb3

from sb3_ext.zoo.doctor.finding import Finding
from sb3_ext.zoo.doctor.replay import first_difference, follow
from sb3_ext.zoo.doctor.signs_of_learning import HUGE_OBSERVATION, HUGE_REWARD

MakeEnv = Callable[[], gym.Env[Any, Any]]
N_EPISODES, N_STEPS, SECONDS = 20, 5_000, 10.0  # random episodes, at most so many steps, for at most so long
N_TWICE = 300  # steps that are played again; fewer where they are slow
LONG = 200  # steps of a random episode that ask for a time limit
SLOW = 0.005  # seconds: five times of what SB3's PPO takes for a step of its own
STALL, STALLS = 0.1, 3  # seconds of a single step, and how many of these are too many


class Episode(NamedTuple):
    """A random episode."""

    return_: float
    length: int
    end: str
    """"terminated", "truncated" or "unfinished" """


@dataclass
class Examination:
    """What was found.

    Attributes:
        summary: lines (what, value).
        findings: what is wrong.
        notes: what is worth knowing.
    """

    summary: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def found(self, *finding: str) -> None:
        """Add a finding: its name, what was seen, what it means, what to do."""
        self.findings.append(Finding(*finding))


@dataclass
class Played:
    """Random episodes.

    Attributes:
        episodes: those that ended, and the last one, which may not have.
        observations: flat, [n, size].
        rewards: [n]
        seconds: of each step [n].
        outside: the first observation that is not in the space; None if all are.
    """

    episodes: list[Episode] = field(default_factory=list)
    observations: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outside: Any = None


def examine_environment(make: MakeEnv, seed: int = 0) -> Examination:
    """Examine an environment.

    Args:
        make: makes it; is called several times.
        seed: of the random episodes.

    Returns:
        What was found; where it cannot be reset or stepped, that, and what was found until then.
    """
    seen = Examination()
    for name, check, bare in (("Gymnasium's", check_by_gymnasium, True), ("SB3's", check_by_sb3, False)):
        run_check(seen, f"{name} check_env", check, make, bare)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks have said it
            played = play(make(), seed)
            summarise(seen, played)
            env = make()
            judge(seen, played, env)
            env.close()
            n_twice = int(np.clip(SECONDS / 10 / np.median(played.seconds), 20, N_TWICE))
            judge_seeds(seen, make, seed, n_twice)
    except Exception as error:  # whatever the environment raises
        seen.found(
            "exception",
            f"it raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            "a training ends with it, too; nothing that comes later was examined",
            "reset() returns (observation, info), step() (observation, reward, terminated, truncated, info)",
        )
    return seen


def run_check(seen: Examination, name: str, check: Callable[..., None], make: MakeEnv, bare: bool) -> None:
    """One of the two ``check_env``s: an exception is a finding, a warning a note. ``bare`` takes wrappers off."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            env = make()
            check(env.unwrapped if bare else env, skip_render_check=True)
            env.close()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            seen.found(
                name,
                reason,
                "the environment breaks the interface that algorithms rely on",
                "correct it first: what follows may be its consequence",
            )
    for warning in caught:
        text = str(warning.message).replace("\x1b[33mWARN: ", "").replace("\x1b[0m", "").splitlines()[0]
        if text not in seen.notes and not issubclass(warning.category, DeprecationWarning):
            seen.notes.append(text)


def play(env: gym.Env[Any, Any], seed: int) -> Played:
    """Random episodes."""
    played = Played()
    env.action_space.seed(seed)
    flatten = _flattener(env.observation_space)
    for episode in range(N_EPISODES):
        observation, _ = env.reset(seed=seed + episode)
        return_, length, end = 0.0, 0, "unfinished"
        while end == "unfinished" and len(played.rewards) < N_STEPS and sum(played.seconds) < SECONDS:
            if played.outside is None and not env.observation_space.contains(observation):
                played.outside = observation
            played.observations.append(flatten(observation))
            started = time.perf_counter()
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            played.seconds.append(time.perf_counter() - started)
            played.rewards.append(float(reward))
            return_, length = return_ + float(reward), length + 1
            end = "terminated" if terminated else "truncated" if truncated else "unfinished"
        if length:
            played.episodes.append(Episode(return_, length, end))
    env.close()
    return played


def _flattener(space: spaces.Space[Any]) -> Callable[[Any], np.ndarray]:
    """From an observation to its components, [size]."""
    if isinstance(space, spaces.Dict):
        parts = {key: _flattener(part) for key, part in space.items()}
        return lambda observation: np.concatenate([part(observation[key]) for key, part in parts.items()])
    if isinstance(space, spaces.Tuple):
        members = [_flattener(part) for part in space]
        return lambda observation: np.concatenate([part(o) for part, o in zip(members, observation, strict=True)])
    return lambda observation: np.asarray(observation, dtype=np.float64).reshape(-1)


def summarise(seen: Examination, played: Played) -> None:
    """What random play looks like, in a few lines."""
    returns = np.array([each.return_ for each in played.episodes])
    lengths = np.array([each.length for each in played.episodes])
    rewards, observations = np.array(played.rewards), np.array(played.observations)
    ends = [each.end for each in played.episodes]
    size = f"{observations.shape[1]} component{'s' if observations.shape[1] > 1 else ''}"
    counts = ", ".join(f"{ends.count(end)} {end}" for end in ("terminated", "truncated", "unfinished") if end in ends)
    seen.summary += [
        ("random episodes", f"{len(returns)} ({counts})"),
        ("return", f"{returns.mean():.4g} on average, {returns.min():.4g} to {returns.max():.4g}"),
        ("length", f"{lengths.mean():.4g} steps on average, {lengths.min()} to {lengths.max()}"),
        ("reward", f"{rewards.min():.4g} to {rewards.max():.4g}, other than 0 in {np.mean(rewards != 0):.0%} of steps"),
        ("observation", f"{size}, {observations.min():.4g} to {observations.max():.4g}"),
        ("step", f"{1e6 * np.median(played.seconds):,.0f} µs, the slowest {1e3 * max(played.seconds):,.1f} ms"),
    ]


def judge(seen: Examination, played: Played, env: gym.Env[Any, Any]) -> None:
    """What is wrong with rewards, observations, limits and speed."""
    rewards, observations = np.array(played.rewards), np.array(played.observations)
    if played.outside is not None:
        seen.found(
            "outside its space",
            f"an observation {_short(played.outside)} is not in {env.observation_space}",
            "networks are built for the space, and clipping or normalising relies on it",
            "give the space the bounds, the shape and the dtype of what is returned",
        )
    if not np.isfinite(rewards).all() or not np.isfinite(observations).all():
        what = "a reward is" if not np.isfinite(rewards).all() else "an observation is"
        seen.found("NaN", f"{what} NaN or infinite", "one of them spoils every weight", "find the division by 0")
        return
    size = np.abs(rewards).mean()
    if size > HUGE_REWARD:
        seen.found(
            "huge rewards",
            f"rewards are about {size:,.0f} a step",
            "critics learn slowly and drown the policy's gradient",
            "divide them, or use VecNormalize",
        )
    if not isinstance(env.observation_space, spaces.Discrete | spaces.MultiDiscrete) and not _is_image(env):
        scale = float(np.sqrt(np.square(observations).mean(axis=0).max()))
        if scale > HUGE_OBSERVATION:
            seen.found(
                "huge observations",
                f"a component is about {scale:,.0f}",
                "units are saturated, or one component outweighs all others",
                "scale it to about 1, or use VecNormalize",
            )
    judge_variety(seen, played, rewards, observations)
    judge_limit(seen, played, env)
    stalls = sum(second > max(STALL, 50 * np.median(played.seconds)) for second in played.seconds)
    if np.median(played.seconds) > SLOW or stalls >= STALLS:
        seen.found(
            "slow steps",
            f"a step takes {1e3 * np.median(played.seconds):.1f} ms, the slowest {1e3 * max(played.seconds):.1f} ms",
            "a training would wait for the environment most of its time",
            "profile step(); run several in SubprocVecEnv",
        )


def judge_variety(seen: Examination, played: Played, rewards: np.ndarray, observations: np.ndarray) -> None:
    """Whether there is anything to be learned from."""
    same_reward = len({(each.return_, each.length) for each in played.episodes}) == 1 and np.ptp(rewards) == 0
    if np.ptp(observations, axis=0).max() == 0 and np.ptp(rewards) == 0:
        seen.found(
            "always the same",
            "every observation and every reward is the same",
            "there is nothing to learn",
            "check that step() computes them anew",
        )
    elif same_reward:
        seen.notes.append(f"random play gets {played.episodes[0].return_:.4g} in every episode: finding more is hard")


def judge_limit(seen: Examination, played: Played, env: gym.Env[Any, Any]) -> None:
    """Whether episodes end."""
    limit = env.spec.max_episode_steps if env.spec is not None else None
    seen.summary.append(("time limit", f"{limit:,} steps" if limit else "none"))
    longest = max(each.length for each in played.episodes)
    if limit is None and longest > LONG and "truncated" not in {each.end for each in played.episodes}:
        seen.found(
            "no time limit",
            f"a random episode took {longest:,} steps, and nothing would have cut it",
            "a policy that walks in circles never ends, in training and in evaluate_policy",
            "give max_episode_steps to gym.register or gym.make",
        )


def judge_seeds(seen: Examination, make: MakeEnv, seed: int, n_steps: int) -> None:
    """Whether a seed determines what happens, a reset in the middle begins anew, and actions matter."""
    envs = [make() for _ in range(3)]
    first, second = (follow(env, seed, 0, n_steps) for env in envs[:2])
    different = first_difference(first, second)
    if different is not None:
        seen.found(
            "not reproducible",
            f"two environments with the same seed and actions differ {different}",
            "runs cannot be repeated, seeds cannot be compared",
            "draw from self.np_random only, and call super().reset(seed=seed)",
        )
    else:
        again = follow(envs[0], seed, 0, n_steps)  # the last reset was in the middle of an episode, most likely
        envs[2].reset(seed=seed + 1)
        envs[2].step(envs[2].action_space.sample())
        after_one = follow(envs[2], seed, 0, n_steps)
        different = first_difference(first, again) or first_difference(first, after_one)
        if different is not None:
            seen.found(
                "reset leaves something",
                f"after a reset in the middle of an episode it differs {different}",
                "something of the episode before is still there",
                "set every attribute anew in reset()",
            )
    other = follow(envs[1], seed, 1, n_steps)
    if first_difference(first, other) is None and _n_actions(envs[0].action_space) > 1:
        seen.found(
            "actions do not matter",
            f"other actions lead to the same {len(first)} observations and rewards",
            "there is nothing to learn",
            "check that step() uses its argument",
        )
    if different is None and first_difference(first, follow(envs[1], seed + 1, 0, n_steps)) is None:
        seen.notes.append("every seed plays the same: one start, and no chance")
    for env in envs:
        env.close()


def _n_actions(space: spaces.Space[Any]) -> float:
    return float(space.n) if isinstance(space, spaces.Discrete) else float("inf")


def _is_image(env: gym.Env[Any, Any]) -> bool:
    return env.observation_space.dtype == np.uint8


def _short(observation: Any) -> str:
    text = " ".join(str(observation).split())
    return text if len(text) < 60 else text[:57] + "..."
