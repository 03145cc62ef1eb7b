"""What a running training shows beyond its logs: weights, gradients, values, rewards, advantages.

Nothing here changes the training: no random number is drawn, no gradient is recorded, nothing is written.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.her import HerReplayBuffer

Numbers = dict[str, float]
N_TRANSITIONS = 64  # of which values are computed
N_RECENT = 1_000  # transitions over which the size of rewards is averaged
CRITIC = ("value", "critic", "vf")  # parts of the names of parameters that do not choose actions


class Weights:
    """How the parameters of a policy move from one look to the next.

    Args:
        policy: SB3's, or any module.
    """

    def __init__(self, policy: th.nn.Module) -> None:
        named = [(name, each) for name, each in policy.named_parameters() if each.is_floating_point()]
        self.online = [(name, each) for name, each in named if "target" not in name]
        self.target = [(name, each) for name, each in named if "target" in name]
        self._never_moved = {name for name, _ in self.online}
        self._first = _norm([each for _, each in self.online])
        self._before = {name: each.detach().clone() for name, each in named}

    def look(self) -> Numbers:
        """Since the last look: relative change of weights and target weights; what never moved; gradients."""
        online, target = self._moves(self.online), self._moves(self.target)
        self._never_moved -= {name for name, moved in online.items() if moved > 0}
        norm = _norm([each for _, each in self.online])
        length = math.sqrt(sum(moved**2 for moved in online.values()))
        numbers = {
            "doctor/step": length / max(norm, 1e-12),
            "doctor/weights": norm / max(self._first, 1e-12),
            "doctor/unmoved_actor": self._share_unmoved(critic=False),
            "doctor/unmoved_critic": self._share_unmoved(critic=True),
        }
        if target:
            numbers["doctor/target_step"] = math.sqrt(sum(moved**2 for moved in target.values()))
        return {**numbers, **self._gradients()}

    def _moves(self, named: list[tuple[str, th.nn.Parameter]]) -> dict[str, float]:
        """How far each went, by name."""
        if not named:
            return {}
        with th.no_grad():
            before = [self._before[name] for name, _ in named]
            now = [each.detach() for _, each in named]
            lengths = th.stack(th._foreach_norm(th._foreach_sub(now, before))).tolist()
            th._foreach_copy_(before, now)
        return dict(zip((name for name, _ in named), lengths, strict=True))

    def names_unmoved(self, critic: bool) -> list[str]:
        """Which of the actor's, or the critic's, tensors have never moved."""
        return [name for name in self._names(critic) if name in self._never_moved]

    def _share_unmoved(self, critic: bool) -> float:
        return len(self.names_unmoved(critic)) / max(len(self._names(critic)), 1)

    def _names(self, critic: bool) -> list[str]:
        return [name for name, _ in self.online if any(part in name for part in CRITIC) == critic]

    def _gradients(self) -> Numbers:
        """Length of the latest gradient, and the share of units, rows of weight matrices, that get none of it."""
        gradients = [each.grad for _, each in self.online if each.grad is not None]
        matrices = [gradient.flatten(1) for gradient in gradients if gradient.ndim > 1]
        if not matrices:
            return {}
        dead = sum(int((matrix == 0).all(dim=1).sum()) for matrix in matrices)
        return {"doctor/gradient": _norm(gradients), "doctor/dead_units": dead / sum(len(each) for each in matrices)}


def _norm(tensors: list[Any]) -> float:
    if not tensors:
        return 0.0
    with th.no_grad():
        return float(th.linalg.vector_norm(th.stack(th._foreach_norm(tensors))))


def gradient_steps(model: Any) -> int | None:
    """Of a rollout: epochs times minibatches; None where the algorithm has none."""
    parts = [getattr(model, name, None) for name in ("n_epochs", "n_steps", "batch_size")]
    if not all(isinstance(part, int) and part > 0 for part in parts):
        return None
    n_epochs, n_steps, batch_size = parts
    return n_epochs * math.ceil(n_steps * model.n_envs / batch_size)


# ---- Observations, rewards, actions ---------------------------------------------------------------------------------


def non_finite(values: Any) -> bool:
    """Whether an array of floats, or one of a dict of them, holds NaN or infinity."""
    if isinstance(values, np.ndarray):  # first, as it is asked at every step
        if values.dtype.kind != "f":
            return False
        flat = values.ravel()
        return not math.isfinite(flat.dot(flat)) and not bool(np.isfinite(values).all())
    return isinstance(values, Mapping) and any(non_finite(each) for each in values.values())


def observation_scale(observations: Any, space: spaces.Space[Any]) -> Numbers:
    """The largest root mean square of a component over the environments' observations, [n_envs, ...]."""
    if isinstance(space, spaces.Dict) and isinstance(observations, Mapping):
        parts = [observation_scale(observations[key], part) for key, part in space.items()]
        scales = [scale for part in parts for scale in part.values()]
        return {"doctor/observations": max(scales)} if scales else {}
    if not isinstance(space, spaces.Box) or space.dtype == np.uint8 or not isinstance(observations, np.ndarray):
        return {}
    mean_squares = np.square(observations, dtype=np.float64).mean(axis=0)
    return {"doctor/observations": float(np.sqrt(mean_squares.max()))}


def saturation(actions: npt.NDArray[Any], low: Any, high: Any) -> Numbers:
    """The share of action components beyond their bounds, or so near that a tanh has no slope left; [..., *shape]."""
    margin = 1e-4 * (np.asarray(high) - np.asarray(low))
    outside = (actions <= low + margin) | (actions >= high - margin)
    return {"doctor/saturation": float(outside.mean())}


# ---- On-policy ------------------------------------------------------------------------------------------------------


def of_rollout(model: BaseAlgorithm) -> Numbers:
    """Rewards, values and actions of a rollout that is complete, and whether its advantages are GAE's."""
    buffer = getattr(model, "rollout_buffer", None)
    if not isinstance(buffer, RolloutBuffer) or not buffer.full or buffer.generator_ready:
        return {}
    numbers = {
        "doctor/rewards": float(np.abs(buffer.rewards).mean()),
        "doctor/values": float(np.abs(buffer.values).max()),
        "doctor/returns": float(np.abs(buffer.returns).max()),
        "doctor/advantage_error": advantage_error(buffer),
    }
    space = model.action_space
    if isinstance(space, spaces.Box):
        actions = buffer.actions.reshape(-1, *space.shape)
        squashed = getattr(model.policy, "squash_output", False)
        numbers |= saturation(actions, *((-1.0, 1.0) if squashed else (space.low, space.high)))
    return numbers


def advantage_error(buffer: RolloutBuffer) -> float:
    """How far advantages are from the recursion of GAE (Schulman et al. 2016, eq. 16), relative to their scale.

    A_t = R_{t+1} + gamma V(S_{t+1}) - V(S_t) + gamma lambda A_{t+1}, both V(S_{t+1}) and A_{t+1} being 0 where the next
    step begins another episode. The last step of the rollout is left out.
    """
    goes_on = 1.0 - buffer.episode_starts[1:]
    values, advantages = buffer.values, buffer.advantages
    deltas = buffer.rewards[:-1] + buffer.gamma * goes_on * values[1:] - values[:-1]
    expected = deltas + buffer.gamma * buffer.gae_lambda * goes_on * advantages[1:]
    scale = np.abs(buffer.rewards).mean() + np.abs(values).mean() + np.abs(advantages).mean()
    return float(np.abs(advantages[:-1] - expected).max(initial=0.0) / max(scale, 1e-12))


# ---- Off-policy -----------------------------------------------------------------------------------------------------


def of_replay(model: BaseAlgorithm) -> Numbers:
    """Rewards and ends in the replay buffer; values and best actions in the states that it holds last."""
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer) or isinstance(buffer, HerReplayBuffer) or buffer.size() < N_TRANSITIONS:
        return {}
    rewards = _rewards(model, buffer, slice(buffer.size()))
    numbers = {
        "doctor/rewards": float(np.abs(_rewards(model, buffer, _latest(buffer, N_RECENT))).mean()),
        "doctor/largest_reward": float(max(rewards.max(), -rewards.min())),
        "doctor/truncations": float(buffer.timeouts[: buffer.size()].sum()),
    }
    rows = _latest(buffer, N_TRANSITIONS)
    with th.no_grad():
        observations = _tensors(model, buffer, rows)
        values = _values(model.policy, observations, buffer.to_torch(buffer.actions[rows, 0]))
        if values is not None:
            numbers["doctor/values"] = float(values.abs().max())
        if hasattr(model.policy, "actor"):  # without the noise, which hides it
            numbers |= saturation(best_actions(model.policy.actor, observations).cpu().numpy(), -1.0, 1.0)
    return numbers


def _latest(buffer: ReplayBuffer, n: int) -> npt.NDArray[np.int64]:
    """The rows that were filled last."""
    return (buffer.pos - 1 - np.arange(min(buffer.size(), n))) % buffer.buffer_size


def _rewards(model: Any, buffer: ReplayBuffer, rows: Any) -> npt.NDArray[Any]:
    return buffer._normalize_reward(buffer.rewards[rows], model._vec_normalize_env)


def _tensors(model: Any, buffer: ReplayBuffer, rows: npt.NDArray[np.int64]) -> Any:
    """The first environment's observations, as the networks take them."""
    held: Any = buffer.observations
    if isinstance(held, dict):
        held = {key: each[rows, 0] for key, each in held.items()}
        normalized: Any = buffer._normalize_obs(held, model._vec_normalize_env)
        return {key: buffer.to_torch(each) for key, each in normalized.items()}
    normalized = buffer._normalize_obs(held[rows, 0], model._vec_normalize_env)
    return buffer.to_torch(normalized)


def _values(policy: Any, observations: Any, actions: th.Tensor) -> th.Tensor | None:
    """Q(s, a) [n] of SB3's and sb3-contrib's critics; None for others."""
    if hasattr(policy, "q_net"):
        return policy.q_net(observations).gather(1, actions.long().reshape(-1, 1))
    if hasattr(policy, "quantile_net"):  # [n, quantiles, actions]
        return policy.quantile_net(observations).mean(dim=1).gather(1, actions.long().reshape(-1, 1))
    return smallest(policy.critic(observations, actions)) if hasattr(policy, "critic") else None


def best_actions(actor: Any, observations: Any) -> th.Tensor:
    """Between -1 and 1: SAC's mean, TD3's action."""
    return actor(observations, deterministic=True) if hasattr(actor, "log_std") else actor(observations)


def smallest(values: Any) -> th.Tensor:
    """Of twin critics (a tuple of [n, 1]) the smaller value; of quantiles [n, critics, quantiles] the mean."""
    if isinstance(values, tuple):
        return th.cat(values, dim=1).min(dim=1).values
    return values.mean(dim=(1, 2))
