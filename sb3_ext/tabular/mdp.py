"""A finite Markov decision process as plain arrays: the exact model behind every tabular world.

The dynamics p(s', r | s, a) (Sutton & Barto, 2nd ed., equation 3.2) are stored as a list of K possible outcomes of each
state-action pair, which is what Gymnasium's ``P`` stores too, but as arrays: one line of NumPy is then a sweep over all
states. Environments are built on it, planning solves it, and it knows neither. Read on in ``planning.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import gymnasium as gym
import numpy as np
import numpy.typing as npt

Outcome = tuple[float, int, float, bool]
TransitionTable = Mapping[int, Mapping[int, Sequence[Outcome]]]
"""Gymnasium's ``P``: ``P[state][action]`` lists ``(probability, next_state, reward, terminated)``."""

TOLERANCE = 1e-8  # how far probabilities may be from summing to 1


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """The K possible outcomes of every action in every state, and where episodes start.

    A pair with fewer than K outcomes is padded with outcomes of probability 0. Arrays may be broadcast views
    (``np.broadcast_to``), so that a world of a million states stays small; they are made read-only.

    Attributes:
        next_state: int32 [S, A, K], the state that follows. After termination it is the last state seen, without value.
        probability: float64 [S, A, K], sums to 1 over K.
        reward: float64 or float32 [S, A, K], the reward of that outcome.
        terminated: bool [S, A, K], True where the outcome ends the episode.
        start: float64 [S], the distribution of the first state.

    Raises:
        ValueError: If shapes disagree or a number is impossible; the message names the state and the action.

    Example:
        >>> mdp = TabularMDP.from_arrays(next_state=[[1], [1]], reward=[[-1.0], [0.0]], terminated=[[True], [True]])
        >>> mdp.n_states, mdp.n_actions
        (2, 1)
        >>> mdp.to_P()[0][0]
        [(1.0, 1, -1.0, True)]
    """

    next_state: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float64]
    reward: npt.NDArray[np.floating[Any]]
    terminated: npt.NDArray[np.bool_]
    start: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        _check(self)
        for field in fields(self):
            view = getattr(self, field.name).view()
            view.flags.writeable = False
            object.__setattr__(self, field.name, view)

    @property
    def n_states(self) -> int:
        """Number of states S, terminal ones included."""
        return self.next_state.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions A, the same in every state."""
        return self.next_state.shape[1]

    @property
    def n_outcomes(self) -> int:
        """Number of outcomes K kept for each state-action pair, padding included."""
        return self.next_state.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays really occupy: a broadcast axis counts once."""
        return sum(_occupied_bytes(getattr(self, field.name)) for field in fields(self))

    @property
    def expected_reward(self) -> npt.NDArray[np.float64]:
        """r(s, a) [S, A], equation 3.5: the mean reward of each action in each state."""
        return np.einsum("sak,sak->sa", self.probability, self.reward)

    @classmethod
    def from_arrays(
        cls,
        next_state: npt.ArrayLike,
        reward: npt.ArrayLike,
        terminated: npt.ArrayLike = False,
        probability: npt.ArrayLike | None = None,
        start: npt.ArrayLike | None = None,
    ) -> Self:
        """Builds an MDP from arrays of any numeric type, checked.

        Args:
            next_state: Integers [S, A, K], or [S, A] where every action has one outcome.
            reward: Anything that broadcasts to next_state's shape ([S, A] is read as the reward of the pair).
            terminated: Likewise.
            probability: Likewise; may be left out where every action has one outcome.
            start: [S], the distribution of the first state; uniform over all states if left out.

        Raises:
            ValueError: If shapes disagree or a number is impossible; the message names the state and the action.
        """
        successor = np.asarray(next_state)
        if successor.ndim not in (2, 3) or successor.dtype.kind not in "iu":
            raise ValueError(
                f"next_state must be integers [S, A] or [S, A, K], got {successor.dtype} {list(successor.shape)}"
            )
        if successor.ndim == 2:
            successor = successor[:, :, None]
        if probability is None:
            if successor.shape[2] != 1:
                raise ValueError(f"next_state has {successor.shape[2]} outcomes per action: give their probability")
            probability = 1.0
        n_states = successor.shape[0]
        start_array = np.full(n_states, 1 / max(n_states, 1)) if start is None else np.asarray(start, dtype=np.float64)
        shape = successor.shape
        return cls(
            _state_indices(successor, n_states),
            _broadcast("probability", np.asarray(probability, dtype=np.float64), shape),
            _broadcast("reward", _floats(reward), shape),
            _broadcast("terminated", np.asarray(terminated, dtype=np.bool_), shape),
            start_array,
        )

    @classmethod
    def from_sparse(
        cls,
        transitions: Sequence[Any],
        reward: npt.ArrayLike | Sequence[Any],
        terminated: npt.ArrayLike = False,
        start: npt.ArrayLike | None = None,
    ) -> Self:
        """Builds an MDP from SciPy's sparse matrices, one for each action: for many states with few outcomes each.

        K is the largest number of entries in a row; the arrays take some 21 bytes for each of the S * A * K outcomes.

        Args:
            transitions: A sparse matrices [S, S]; entry (s, s') of matrix a is p(s' | s, a).
            reward: r(s, a) [S, A], or A sparse matrices [S, S] of the rewards of the transitions, 0 where empty.
            terminated: bool [S], True for the states that end the episode when they are entered. No episode goes on
                from there: their own rows, which may be empty, do not count.
            start: [S], the distribution of the first state; uniform over all states if left out.

        Raises:
            ValueError: If shapes disagree or a number is impossible; the message names the state and the action.

        Example:
            >>> from scipy.sparse import csr_array
            >>> mdp = TabularMDP.from_sparse([csr_array([[0.5, 0.5], [0, 0]])], [[-1.0], [0.0]], [False, True])
            >>> mdp.to_P()[0]
            {0: [(0.5, 0, -1.0, False), (0.5, 1, -1.0, True)]}
        """
        if not len(transitions):
            raise ValueError("transitions must hold a sparse matrix for each action, got none")
        n_states, n_actions = transitions[0].shape[0], len(transitions)
        rows = [_sparse_rows(f"transitions[{a}]", matrix, n_states) for a, matrix in enumerate(transitions)]
        n_outcomes = max(1, *(int(np.diff(matrix.indptr).max()) for matrix in rows))
        shape = (n_states, n_actions, n_outcomes)
        next_state, probability = np.zeros(shape, dtype=np.int32), np.zeros(shape)
        of_transitions = _are_sparse(reward)
        rewards = np.zeros(shape) if of_transitions else _broadcast("reward", _floats(reward), shape)
        if of_transitions and len(reward) != n_actions:  # type: ignore[arg-type]
            raise ValueError(f"reward: there are {n_actions} actions and rewards of {len(reward)}")  # type: ignore[arg-type]
        for action, matrix in enumerate(rows):
            state = np.repeat(np.arange(n_states), np.diff(matrix.indptr))
            place = (state, action, np.arange(len(state)) - matrix.indptr[state])
            next_state[place], probability[place] = matrix.indices, matrix.data
            if of_transitions:
                of_action = _sparse_rows(f"reward[{action}]", reward[action], n_states)  # type: ignore[index]
                rewards[place] = np.asarray(of_action[state, matrix.indices]).ravel()
        ends = _broadcast_ends(terminated, n_states)
        if ends.any():
            stay = np.flatnonzero(ends)
            next_state[stay], probability[stay], probability[stay, :, 0] = stay[:, None, None], 0.0, 1.0
            rewards = np.where(ends[:, None, None], 0.0, rewards)
        return cls.from_arrays(next_state, rewards, ends[next_state], probability, start)

    @classmethod
    def from_P(cls, P: TransitionTable, start: npt.ArrayLike | None = None) -> Self:
        """Builds an MDP from Gymnasium's ``P[state][action] = [(probability, next_state, reward, terminated), ...]``.

        Args:
            P: A dict (or list) over states 0 .. S - 1 of dicts (or lists) over actions 0 .. A - 1.
            start: [S], the distribution of the first state; uniform over all states if left out.

        Raises:
            ValueError: If a state has another number of actions than state 0, or a number is impossible.
        """
        if not len(P) or not len(P[0]):
            raise ValueError("P: state 0 has no actions" if len(P) else "P has no states")
        n_states, n_actions = len(P), len(P[0])
        for state in range(n_states):
            if len(P[state]) != n_actions:
                raise ValueError(f"P: state {state} has {len(P[state])} actions, state 0 has {n_actions}")
        n_outcomes = max(len(P[state][action]) for state in range(n_states) for action in range(n_actions))
        padding: Outcome = (0.0, 0, 0.0, False)
        rows = [
            row
            for state in range(n_states)
            for action in range(n_actions)
            for row in [*P[state][action], *[padding] * (n_outcomes - len(P[state][action]))]
        ]
        probability, next_state, reward, terminated = (
            np.array(column).reshape(n_states, n_actions, n_outcomes) for column in zip(*rows, strict=True)
        )
        return cls.from_arrays(next_state.astype(np.int64), reward, terminated, probability, start)

    @classmethod
    def from_env(cls, env: gym.Env[Any, Any]) -> Self:
        """The exact model of an environment that publishes one: our own (``mdp``) or Gymnasium's toy texts (``P``).

        Raises:
            ValueError: If the environment publishes neither.
        """
        inner = env.unwrapped
        own = getattr(inner, "mdp", None)
        if isinstance(own, cls):
            return own
        table = getattr(inner, "P", None)
        if table is None:
            raise ValueError(
                f"{type(inner).__name__} has no transition table: neither 'mdp' (a TabularMDP) nor Gymnasium's 'P'; "
                "build the model with TabularMDP.from_arrays"
            )
        return cls.from_P(table, getattr(inner, "initial_state_distrib", None))

    def to_P(self) -> dict[int, dict[int, list[Outcome]]]:
        """Gymnasium's ``P``, as plain Python numbers; outcomes of probability 0 are left out."""
        probability, next_state = self.probability.tolist(), self.next_state.tolist()
        reward, terminated = self.reward.tolist(), self.terminated.tolist()
        return {
            state: {
                action: [
                    outcome
                    for outcome in zip(
                        probability[state][action], next_state[state][action], reward[state][action],
                        terminated[state][action], strict=True,
                    )
                    if outcome[0] > 0
                ]
                for action in range(self.n_actions)
            }
            for state in range(self.n_states)
        }  # fmt: skip

    def sample(
        self, state: npt.ArrayLike, action: npt.ArrayLike, generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.floating[Any]], npt.NDArray[np.bool_]]:
        """Draws one outcome for each state-action pair.

        Args:
            state: Integers of any shape [...].
            action: Integers that broadcast with ``state``.
            generator: Source of the random numbers, one per pair.

        Returns:
            next_state, reward and terminated, each of shape [...].
        """
        states, actions = np.broadcast_arrays(state, action)
        uniform = generator.random(states.shape)
        outcome = pick_outcome(self.probability[states, actions], uniform)
        pick = (states, actions, outcome)
        return self.next_state[pick], self.reward[pick], self.terminated[pick]

    def sample_start(self, generator: np.random.Generator, size: int | None = None) -> npt.NDArray[np.int64]:
        """Draws first states: one (shape []), or ``size`` of them (shape [size])."""
        uniform = generator.random(() if size is None else size)
        cumulative = np.cumsum(self.start)
        return np.minimum(np.searchsorted(cumulative, uniform, side="right"), int(self.start.nonzero()[0][-1]))


def pick_outcome(probability: npt.NDArray[np.float64], uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The outcome that a uniform number falls on: the first k with uniform < p_0 + ... + p_k.

    Args:
        probability: [..., K], sums to 1 over K.
        uniform: [...], in [0, 1).

    Returns:
        Indices [...] of outcomes, never one of probability 0.

    Example:
        >>> pick_outcome(np.array([[0.2, 0.8, 0.0], [0.0, 1.0, 0.0]]), np.array([0.1, 0.0]))
        array([0, 1])
    """
    cumulative = np.cumsum(probability, axis=-1)
    chosen = (np.asarray(uniform)[..., None] >= cumulative).sum(axis=-1)
    n_outcomes = probability.shape[-1]
    last_possible = n_outcomes - 1 - np.argmax(probability[..., ::-1] > 0, axis=-1)  # rounding may leave sums below 1
    return np.minimum(chosen, last_possible)


def _floats(values: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    """As float64, but float32 stays float32 (half the memory)."""
    array = np.asarray(values)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def _are_sparse(matrices: Any) -> bool:
    """Whether these are SciPy's sparse matrices, one for each action (SciPy itself is not needed to find out)."""
    return isinstance(matrices, Sequence) and len(matrices) > 0 and hasattr(matrices[0], "tocsr")


def _sparse_rows(name: str, matrix: Any, n_states: int) -> Any:
    """The matrix [S, S] by rows, a copy without zeros and repeated entries."""
    if not hasattr(matrix, "tocsr"):
        raise ValueError(f"{name} must be a SciPy sparse matrix, got {type(matrix).__name__}; or use from_arrays")
    if matrix.shape != (n_states, n_states):
        raise ValueError(f"{name} has the shape {list(matrix.shape)}, not {[n_states, n_states]}")
    rows = matrix.tocsr().copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def _broadcast_ends(terminated: npt.ArrayLike, n_states: int) -> npt.NDArray[np.bool_]:
    """One truth value for each state."""
    ends = np.asarray(terminated, dtype=np.bool_)
    if ends.shape not in ((), (n_states,)):
        raise ValueError(f"terminated has the shape {list(ends.shape)}, there are {n_states} states")
    return np.broadcast_to(ends, (n_states,))


def _state_indices(next_state: npt.NDArray[Any], n_states: int) -> npt.NDArray[np.int32]:
    """As int32, after a check of the range (a larger type would wrap around silently)."""
    if next_state.size and (next_state.min() < 0 or next_state.max() >= n_states):
        _require((next_state >= 0) & (next_state < n_states), next_state, f"next_state must lie in 0 .. {n_states - 1}")
    return next_state.astype(np.int32, copy=False)


def _broadcast(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The array as [S, A, K]; [S, A] is read as one value for all K outcomes."""
    if array.ndim == 2 and array.shape == shape[:2]:
        array = array[:, :, None]
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has the shape {list(array.shape)}, next_state has {list(shape)}") from None


def _check(mdp: TabularMDP) -> None:
    """Refuses arrays that are no MDP."""
    shape = mdp.next_state.shape
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"next_state must be [S, A, K] with at least one of each, got {list(shape)}")
    for name in ("probability", "reward", "terminated"):
        if getattr(mdp, name).shape != shape:
            raise ValueError(f"{name} has the shape {list(getattr(mdp, name).shape)}, next_state has {list(shape)}")
    _state_indices(mdp.next_state, shape[0])
    probability = mdp.probability[_distinct(mdp.probability.strides[:2])]
    _require(probability >= 0, probability, "a probability must not be negative (nor NaN)")
    total = probability.sum(axis=-1)
    _require(np.abs(total - 1) <= TOLERANCE, total, "probabilities must sum to 1")
    _require(np.isfinite(mdp.reward[_distinct(mdp.reward.strides)]), mdp.reward, "a reward must be finite")
    if mdp.start.shape != shape[:1]:
        raise ValueError(f"start must have one probability for each of {shape[0]} states, got {list(mdp.start.shape)}")
    if not (mdp.start >= 0).all() or abs(mdp.start.sum() - 1) > TOLERANCE:
        raise ValueError(f"start must be a distribution, got sum {mdp.start.sum()} and minimum {mdp.start.min()}")


def _require(valid: npt.NDArray[np.bool_], values: npt.NDArray[Any], rule: str) -> None:
    """Raises with the first offending state and action, if there is one."""
    if not valid.all():
        place = tuple(int(index) for index in np.argwhere(~valid)[0])
        raise ValueError(f"state {place[0]}, action {place[1]}: {rule}, got {values[place]}")


def _distinct(strides: tuple[int, ...]) -> tuple[slice, ...]:
    """Selects one element of each axis along which a broadcast view repeats it."""
    return tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)


def _occupied_bytes(array: npt.NDArray[Any]) -> int:
    """Size of the distinct elements: an axis of stride 0 repeats one element."""
    return array[_distinct(array.strides)].nbytes
