"""Bonuses for what is new: counting states, and random network distillation where states cannot be counted.

``CountBonus``: beta / sqrt(N(S')) (Strehl & Littman 2008, MBIE-EB); counts of states or hash codes (``SimHash``, Tang
et al. 2017). ``RND`` (Burda et al. 2019): the error of a network that learns to imitate a fixed random one is large
on what it has not seen; a network learns on batches, so it is a wrapper of SB3's VecEnv.

A bonus fades: unlike potential-based shaping it changes what is optimal, but for a while only. Evaluate on the raw
reward.
"""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvObs, VecEnvStepReturn, VecEnvWrapper
from torch import nn

from sb3_ext.envs.wrappers.reward_terms import RewardTerms, TermSums, add_term, terms_so_far

CLIP_OBSERVATION = 5.0  # Burda et al. 2019, section 2.4
CLIP_BONUS = 5.0  # in deviations; matters for the first few steps, before their deviation is known


def count_bonus(count: Any, beta: float) -> Any:
    """The bonus beta / sqrt(N) of a state visited for the N-th time.

    Example:
        >>> count_bonus(4, beta=1.0)
        0.5
    """
    return beta * count**-0.5


class SimHash:
    """Hash codes of observations: the signs of k random projections, so near observations tend to share a code.

    Projections pass through the origin: observations should be of similar size in every dimension, around 0
    (``gymnasium.wrappers.RescaleObservation``).

    Args:
        observation_space: The observations, anything that Gymnasium can flatten.
        bits: k, at least 1: 2^k codes. Fewer bits make coarser codes.
        seed: Of the projections.

    Raises:
        ValueError: If ``bits`` is below 1.
    """

    def __init__(self, observation_space: spaces.Space[Any], bits: int = 16, seed: int = 0) -> None:
        if bits < 1:
            raise ValueError(f"bits must be at least 1, got {bits}")
        self.space = observation_space
        dimension = spaces.flatdim(observation_space)
        self.projections = np.random.default_rng(seed).standard_normal((bits, dimension))

    def __call__(self, observation: Any) -> bytes:
        """The code, packed into bytes."""
        flat = np.asarray(spaces.flatten(self.space, observation), dtype=np.float64)
        return np.packbits(self.projections @ flat > 0).tobytes()


def exact_key(observation: Any) -> Hashable:
    """A dictionary key that is equal for equal observations: Discrete, arrays, tuples and dictionaries of them."""
    if isinstance(observation, dict):
        return tuple(exact_key(observation[key]) for key in sorted(observation))
    if isinstance(observation, tuple):
        return tuple(exact_key(part) for part in observation)
    array = np.asarray(observation)
    return array.item() if array.ndim == 0 else (array.shape, array.tobytes())


class CountBonus(RewardTerms):
    """Adds beta / sqrt(N(S')) to the reward, where N counts how often the observation was seen, this time included.

    Counts are kept from episode to episode, and start anew at a reset with a seed, so that a seeded run repeats.

    Args:
        env: The environment.
        beta: Bonus of a first visit, >= 0.
        key: What to count, a callable from observation to something hashable. By default equal observations count as
            one state; for continuous ones, which hardly ever repeat, ``SimHash(env.observation_space)`` or the
            ``observation`` method of a ``DiscretizeObservation``.

    Raises:
        ValueError: If ``beta`` is negative or no number.

    Example:
        >>> env = CountBonus(gym.make("FrozenLake-v1", is_slippery=False), beta=1.0)
        >>> _ = env.reset(seed=0)  # the start counts as visited
        >>> [round(env.step(0)[1], 3) for _ in range(2)]  # against the wall
        [0.707, 0.577]
    """

    term_name = "count_bonus"

    def __init__(self, env: gym.Env[Any, Any], beta: float = 0.1, key: Callable[[Any], Hashable] = exact_key) -> None:
        if not 0 <= beta < float("inf"):
            raise ValueError(f"beta must be >= 0, got {beta}")
        RecordConstructorArgs.__init__(self, beta=beta, key=key)
        super().__init__(env)
        self.beta = beta
        self.key = key
        self.counts: dict[Hashable, int] = {}

    def begin(self, observation: Any, seed: int | None) -> None:
        """Counts S_0."""
        if seed is not None:
            self.counts = {}
        self._visit(observation)

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """The bonus for S'."""
        return float(count_bonus(self._visit(observation), self.beta))

    def _visit(self, observation: Any) -> int:
        key = self.key(observation)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]


class RND(VecEnvWrapper):
    """Random network distillation: adds to the reward how badly a network predicts a random network's output on S'.

    ``bonus = scale * mean_k (f_k(S') - f^_k(S'))^2 / sigma``. The target f is random and fixed; the predictor f^ is
    trained on the observations as they come, a gradient step for each ``batch_size`` of them. Observations are
    normalised by their running mean and deviation and clipped to [-5, 5]; the bonus by sigma, the running deviation of
    its own discounted sums, and clipped to 5. Unlike in the paper, one value function serves both rewards and the sums
    of bonuses end with the episode, so SB3's algorithms work unchanged. Both networks are fully connected; images are
    flattened.

    For evaluation leave it out or set ``training = False``: then it adds nothing, learns nothing and reports the raw
    terms.

    Args:
        venv: The vectorised environment, with Monitor inside.
        scale: Weight of the normalised bonus.
        gamma: Discount of the sums that sigma is measured on.
        learning_rate: Of the predictor (Adam).
        batch_size: Observations for a gradient step, whatever the number of environments.
        hidden: Width of the networks.
        features: Number of outputs that are predicted.
        seed: Of the networks' weights.

    Raises:
        ValueError: If ``venv`` is no VecEnv, or ``scale``, ``gamma``, ``learning_rate`` or ``batch_size`` is out of
            range.
        NotImplementedError: For Tuple observations (SB3 has no policy for them either).
    """

    def __init__(
        self,
        venv: VecEnv,
        scale: float = 1.0,
        gamma: float = 0.99,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        hidden: int = 64,
        features: int = 32,
        seed: int = 0,
    ) -> None:
        if not isinstance(venv, VecEnv):
            raise ValueError(f"RND wraps a VecEnv, got {venv}; sb3_ext.vec_env.make_vec_env makes one")
        infinity = float("inf")
        if not (0 <= scale < infinity and 0 <= gamma <= 1 and 0 < learning_rate < infinity and batch_size >= 1):
            raise ValueError(
                f"RND needs scale >= 0, gamma in [0, 1], learning_rate > 0 and batch_size >= 1, got {scale}, {gamma}, "
                f"{learning_rate} and {batch_size}"
            )
        if isinstance(venv.observation_space, spaces.Tuple):
            raise NotImplementedError(f"RND takes no Tuple observations, got {venv.observation_space}; use Dict")
        super().__init__(venv)
        self.settings = {
            "scale": scale, "gamma": gamma, "learning_rate": learning_rate, "batch_size": batch_size,
            "hidden": hidden, "features": features, "seed": seed,
        }  # fmt: skip
        self.scale, self.bonus_gamma, self.batch_size = scale, gamma, batch_size
        self.training = True
        dimension = spaces.flatdim(venv.observation_space)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.target = _network(dimension, hidden, features).requires_grad_(False)
            self.predictor = _network(dimension, hidden, features)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), lr=learning_rate)
        self.observation_statistics = RunningMeanStd(shape=(dimension,))
        self.bonus_statistics = RunningMeanStd(shape=())
        self._sums = np.zeros(self.num_envs)
        self._batch: list[torch.Tensor] = []
        self._episodes = [TermSums() for _ in range(self.num_envs)]

    def reset(self) -> VecEnvObs:
        """Starts all environments anew; what was learned is kept."""
        self._sums[:] = 0.0
        self._episodes = [TermSums() for _ in range(self.num_envs)]
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Adds the bonus, reports it as the term "rnd", and learns from the observations reached."""
        observations, rewards, dones, infos = self.venv.step_wait()
        if not self.training:
            for i, info in enumerate(infos):
                self._report(i, terms_so_far(info, float(rewards[i])), info, dones[i])
            return observations, rewards, dones, infos
        reached = self._flatten(_reached(observations, dones, infos))
        self.observation_statistics.update(reached)
        inputs = self._normalise(reached)
        bonuses = self.scale * self._normalise_bonus(self.prediction_error(inputs), dones)
        self._learn(inputs)
        for i, info in enumerate(infos):
            self._report(i, add_term(info, float(rewards[i]), "rnd", float(bonuses[i])), info, dones[i])
        return observations, (rewards + bonuses).astype(np.float32), dones, infos

    def _report(self, i: int, terms: dict[str, float], info: dict[str, Any], done: bool) -> None:
        """Writes the terms of environment i into its info, and their sums where the episode ended."""
        info["reward_terms"] = terms
        self._episodes[i].add(terms)
        if done:
            self._episodes[i].report(info)
            self._episodes[i] = TermSums()

    def prediction_error(self, inputs: torch.Tensor) -> np.ndarray:
        """Mean squared error of the predictor, [n], for normalised observations [n, dimension]."""
        with torch.no_grad():
            return (self.predictor(inputs) - self.target(inputs)).square().mean(dim=1).double().numpy()

    def novelty(self, observations: VecEnvObs) -> np.ndarray:
        """How new observations are, [n]: their bonus now. Changes nothing; for plots."""
        error = self.prediction_error(self._normalise(self._flatten(observations)))
        return self.scale * np.minimum(error / np.sqrt(self.bonus_statistics.var + 1e-8), CLIP_BONUS)

    def save(self, path: str | Path) -> None:
        """Saves the settings as they are now, networks, optimiser and statistics; not the environment."""
        statistics = {
            name: [torch.as_tensor(value, dtype=torch.float64) for value in (running.mean, running.var, running.count)]
            for name, running in (("observation", self.observation_statistics), ("bonus", self.bonus_statistics))
        }
        now = {"scale": self.scale, "gamma": self.bonus_gamma, "batch_size": self.batch_size}
        torch.save(
            {
                "settings": self.settings | now,
                "target": self.target.state_dict(),
                "predictor": self.predictor.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "statistics": statistics,
                "batch": self._batch,
            },
            path,
        )

    @classmethod
    def load(cls, path: str | Path, venv: VecEnv) -> Self:
        """Loads what ``save`` wrote, around an environment with the same observations.

        Raises:
            ValueError: If the observations have another size.
        """
        saved = torch.load(path, weights_only=True)
        rnd = cls(venv, **saved["settings"])
        mean, _, _ = saved["statistics"]["observation"]
        if mean.shape != rnd.observation_statistics.mean.shape:
            raise ValueError(
                f"{path} was saved for observations of {mean.numel()} numbers, {venv.observation_space} has "
                f"{rnd.observation_statistics.mean.size}"
            )
        rnd.target.load_state_dict(saved["target"])
        rnd.predictor.load_state_dict(saved["predictor"])
        rnd.optimizer.load_state_dict(saved["optimizer"])
        rnd._batch = saved["batch"]
        for name, running in (("observation", rnd.observation_statistics), ("bonus", rnd.bonus_statistics)):
            mean, variance, count = saved["statistics"][name]
            running.mean, running.var, running.count = mean.numpy(), variance.numpy(), float(count)
        return rnd

    def _flatten(self, observations: VecEnvObs) -> np.ndarray:
        """Observations as float numbers [n, dimension]; integers become one-hot, as in SB3's policies."""
        space = self.observation_space
        if isinstance(observations, dict):
            tensors: Any = {key: torch.as_tensor(value) for key, value in observations.items()}
        else:
            tensors = torch.as_tensor(np.asarray(observations))
        ready: torch.Tensor | TensorDict = preprocess_obs(tensors, space)
        parts = [ready[key] for key in sorted(ready)] if isinstance(ready, dict) else [ready]
        return torch.cat([part.flatten(start_dim=1) for part in parts], dim=1).double().numpy()

    def _normalise(self, flat: np.ndarray) -> torch.Tensor:
        statistics = self.observation_statistics
        normal = (flat - statistics.mean) / np.sqrt(statistics.var + 1e-8)
        return torch.as_tensor(np.clip(normal, -CLIP_OBSERVATION, CLIP_OBSERVATION), dtype=torch.float32)

    def _normalise_bonus(self, errors: np.ndarray, dones: np.ndarray) -> np.ndarray:
        self._sums = self.bonus_gamma * self._sums + errors
        self.bonus_statistics.update(self._sums)
        self._sums[dones] = 0.0
        return np.minimum(errors / np.sqrt(self.bonus_statistics.var + 1e-8), CLIP_BONUS)

    def _learn(self, inputs: torch.Tensor) -> None:
        """One gradient step when enough observations have come together."""
        self._batch.extend(inputs)
        while len(self._batch) >= self.batch_size:
            batch = torch.stack(self._batch[: self.batch_size])
            self._batch = self._batch[self.batch_size :]
            self.optimizer.zero_grad()
            (self.predictor(batch) - self.target(batch)).square().mean().backward()
            self.optimizer.step()


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


def _reached(observations: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]]) -> Any:
    """The observations that the step led to: where an episode ended, its last one, not the next one's first."""
    if isinstance(observations, dict):
        parts = {key: np.array(value) for key, value in observations.items()}
        for i in np.flatnonzero(dones):
            for key in parts:
                parts[key][i] = infos[i]["terminal_observation"][key]
        return parts
    whole = np.array(observations)
    for i in np.flatnonzero(dones):
        whole[i] = infos[i]["terminal_observation"]
    return whole
