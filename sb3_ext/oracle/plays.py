"""Many batches of episodes of a policy on a ``TabularMDP``: what estimators of the policy gradient are tried on.

Arrays hold one episode a column, [T, N], as everywhere in ``common/``: N is n_batches * batch_size, and a batch is
``batch_size`` columns next to each other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext.tabular.mdp import TabularMDP

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plays:
    """Episodes.

    Attributes:
        probabilities: pi(a | s) [S, A] of the policy that plays.
        batch_size: Episodes in a batch.
        states: S_t, int64 [T, N].
        actions: A_t, int64 [T, N].
        rewards: R_{t+1}, 0 after the end, [T, N].
        next_states: S_{t+1}, int64 [T, N].
        mask: True while the episode is running, [T, N].
        terminated: True at the step that ends an episode (not where time runs out), [T, N].
    """

    probabilities: Floats
    batch_size: int
    states: npt.NDArray[np.int64]
    actions: npt.NDArray[np.int64]
    rewards: Floats
    next_states: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    terminated: npt.NDArray[np.bool_]

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return self.mask.shape[1] // self.batch_size

    @property
    def batch(self) -> npt.NDArray[np.int64]:
        """The batch of each step, [T, N]."""
        return np.broadcast_to(np.arange(self.mask.shape[1]) // self.batch_size, self.mask.shape)

    @property
    def ends(self) -> npt.NDArray[np.bool_]:
        """True at the last step of each episode, however it ended, [T, N]."""
        return self.mask & ~np.vstack([self.mask[1:], np.zeros_like(self.mask[:1])])

    @property
    def log_probs(self) -> Floats:
        """Log pi(A_t | S_t), 0 after the end, [T, N]."""
        return np.where(self.mask, np.log(self.probabilities[self.states, self.actions]), 0.0)

    def discounts(self, gamma: float) -> Floats:
        """Gamma, or 0 where S_{t+1} is terminal, [T, N]."""
        return np.where(self.terminated, 0.0, gamma)

    def columns(self, chosen: npt.NDArray[np.intp], batch_size: int) -> "Plays":
        """Some of the episodes, as batches of another size."""
        names = ("states", "actions", "rewards", "next_states", "mask", "terminated")
        arrays: Any = {name: getattr(self, name)[:, chosen] for name in names}
        return Plays(self.probabilities, batch_size, **arrays)


def play(
    mdp: TabularMDP,
    probabilities: npt.ArrayLike,
    n_batches: int,
    batch_size: int,
    horizon: int,
    generator: np.random.Generator,
    group_size: int = 1,
) -> Plays:
    """Play episodes, all at the same time.

    Args:
        mdp: The process.
        probabilities: pi(a | s) [S, A].
        n_batches: Number of batches.
        batch_size: Episodes in each.
        horizon: Steps after which an episode is truncated.
        generator: Source of the random numbers.
        group_size: So many episodes in a row begin in the same state; it divides ``batch_size``.

    Raises:
        ValueError: If ``group_size`` does not divide ``batch_size``.

    Example:
        >>> walk = TabularMDP.from_arrays([[0, 0]], [[1.0, 1.0]], [[False, True]])  # action 1 ends the episode
        >>> plays = play(walk, [[0.0, 1.0]], n_batches=1, batch_size=2, horizon=3, generator=np.random.default_rng(0))
        >>> plays.rewards.tolist()
        [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    if batch_size % group_size:
        raise ValueError(f"group_size must divide batch_size={batch_size}, got {group_size}")
    policy, n = np.asarray(probabilities, dtype=np.float64), n_batches * batch_size
    thresholds = policy.cumsum(axis=1)[:, :-1]
    integers = {name: np.zeros((horizon, n), np.int64) for name in ("states", "actions", "next_states")}
    rewards, mask, ended = np.zeros((horizon, n)), np.zeros((horizon, n), bool), np.zeros((horizon, n), bool)
    state = np.repeat(mdp.sample_start(generator, n // group_size), group_size)
    running = np.ones(n, bool)
    for t in range(horizon):
        action = (generator.random(n)[:, None] >= thresholds[state]).sum(axis=1)
        next_state, reward, terminated = mdp.sample(state, action, generator)
        for name, array in (("states", state), ("actions", action), ("next_states", next_state)):
            integers[name][t] = array
        rewards[t], mask[t], ended[t] = np.where(running, reward, 0.0), running, running & terminated
        running, state = running & ~terminated, next_state.astype(np.int64)
    return Plays(policy, batch_size, **integers, rewards=rewards, mask=mask, terminated=ended)


def first_finished(plays: Plays, n_envs: int) -> Plays:
    """What one gets from parallel environments by taking the first ``n_envs`` episodes that finish.

    Each batch must hold ``n_envs`` x ``n_envs`` episodes: environment i plays those from i * n_envs on, one after the
    other.

    Returns:
        Batches of ``n_envs`` episodes: short ones have better chances to be in.
    """
    lengths = plays.mask.sum(axis=0).reshape(-1, n_envs, n_envs)
    finished = lengths.cumsum(axis=2).reshape(len(lengths), -1)
    first = np.argsort(finished, axis=1, kind="stable")[:, :n_envs]
    return plays.columns((first + np.arange(len(first))[:, None] * plays.batch_size).ravel(), n_envs)


def score_gradients(plays: Plays, weights: npt.ArrayLike) -> Floats:
    """For each batch, the sum over steps of ``weight_t grad log pi(A_t | S_t)`` of a softmax table.

    With preferences h, ``d log pi(a|s) / d h(s, b) = 1[a = b] - pi(b|s)`` (Sutton & Barto, exercise 13.3).

    Args:
        plays: The episodes.
        weights: [T, N]; those after an episode's end do not count.

    Returns:
        [n_batches, S, A].
    """
    n_states, n_actions = plays.probabilities.shape
    place = (plays.batch * n_states + plays.states) * n_actions + plays.actions
    counted = np.broadcast_to(np.asarray(weights, dtype=np.float64), plays.mask.shape)[plays.mask]
    sums = np.bincount(place[plays.mask], counted, plays.n_batches * n_states * n_actions)
    sums = sums.reshape(plays.n_batches, n_states, n_actions)
    return sums - sums.sum(axis=2, keepdims=True) * plays.probabilities
