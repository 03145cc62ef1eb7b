"""Batch prediction: what TD(0) and Monte Carlo each make of the same few episodes, shown to them again and again.

Monte Carlo ends at the mean of the returns, which fits the batch best; TD(0) at the values of the Markov process that
most likely produced it, which fits the future better (Sutton & Barto, 2nd ed., section 6.3, examples 6.3 and 6.4).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import compiled
from sb3_ext.common.returns import discounted_returns
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import check_gamma, policy_probabilities
from sb3_ext.tabular.prediction import _check_index, _count_records, _generator, _raise_if_endless, _rule
from sb3_ext.tabular.prediction_loops import MONTE_CARLO, Booleans, Floats, Integers, make_chain, sample
from sb3_ext.tabular.prediction_rules import td_error

MAX_SWEEPS = 1_000_000


class Experience(NamedTuple):
    """Episodes, one after the other, as N transitions.

    Attributes:
        states: int64 [N], S_t.
        actions: int64 [N], A_t.
        rewards: [N], R_{t+1}.
        next_states: int64 [N], S_{t+1}, the state reached.
        terminated: bool [N], True where the episode has no future after the step.
        ends: bool [N], True where an episode ends after the step, terminated or truncated.
    """

    states: Integers
    actions: Integers
    rewards: Floats
    next_states: Integers
    terminated: Booleans
    ends: Booleans

    def first_episodes(self, n_episodes: int) -> "Experience":
        """The transitions of the first episodes only."""
        length = int(np.searchsorted(np.cumsum(self.ends), n_episodes)) + 1
        return Experience(*[column[:length] for column in self])  # type: ignore[arg-type]


def sample_episodes(
    mdp: TabularMDP, policy: npt.ArrayLike, n_episodes: int, seed: int = 0, max_episode_steps: int | None = None
) -> Experience:
    """Episodes of a policy: those that the methods of ``prediction.py`` see, given the same seed and time limit.

    Args:
        mdp: The process; episodes start as ``mdp.start`` says.
        policy: Actions [S], or probabilities [S, A].
        n_episodes: How many.
        seed: Not negative.
        max_episode_steps: Time limit.

    Raises:
        ValueError: As ``td_prediction``.

    Example:
        >>> mdp = TabularMDP.from_arrays([[1], [1]], [[-1.0], [-2.0]], [[False], [True]], start=[1.0, 0.0])
        >>> sample_episodes(mdp, [0, 0], n_episodes=2).rewards
        array([-1., -2., -1., -2.])
    """
    rule = _rule(MONTE_CARLO, None, 1.0, max_episode_steps)
    _count_records(n_episodes, 1)
    chain = make_chain(mdp, policy_probabilities(mdp, policy))
    endless, columns = sample(chain, rule, n_episodes, _generator(seed))
    _raise_if_endless(endless, seed, "give a time limit, max_episode_steps")
    return Experience(*columns)


def batch_td(
    experience: Experience, n_states: int, gamma: float = 1.0, initial_values: npt.ArrayLike = 0.0,
    tolerance: float = 1e-8,
) -> Floats:  # fmt: skip
    """Where TD(0) ends up if the batch is shown to it again and again (section 6.3, example 6.3).

    Each sweep sums the TD errors of all transitions from a state before it moves the value. Any small step size leads
    to the same values; 1/N(s), taken here, makes a sweep one of ``policy_evaluation`` (4.5) on the most likely model of
    the batch. Hence the limit is the certainty-equivalence estimate.

    Args:
        experience: The batch, N transitions.
        n_states: S.
        gamma: Discount in [0, 1].
        initial_values: A number or [S]; states that the batch does not leave keep them.
        tolerance: It stops once no value moves by more, above 0.

    Returns:
        Values [S].

    Raises:
        ValueError: If an argument is out of range, a state is not below n_states, or the values do not settle.

    Example:
        >>> one = Experience(*map(np.array, ([0, 1], [0, 0], [-1.0, -2.0], [1, 1], [False, True], [False, True])))
        >>> batch_td(one, n_states=2)
        array([-3., -2.])
    """
    check_gamma(gamma)
    _check_states(experience, n_states)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")
    values = np.array(np.broadcast_to(np.asarray(initial_values, dtype=np.float64), n_states))
    states, next_states = experience.states, experience.next_states
    discounts = np.where(experience.terminated, 0.0, gamma)
    sweep = 0
    while _batch_td_sweep(states, experience.rewards, discounts, next_states, values) > tolerance:
        sweep += 1
        if sweep == MAX_SWEEPS:
            raise ValueError(f"gamma={gamma}: no convergence to tolerance={tolerance} within {sweep} sweeps")
    return values


def batch_monte_carlo(
    experience: Experience, n_states: int, gamma: float = 1.0, initial_values: npt.ArrayLike = 0.0
) -> Floats:
    """Where constant-alpha Monte Carlo (6.1) ends up, likewise: at the mean of the returns of all visits (section 6.3).

    Args:
        experience: The batch, N transitions; every episode has terminated.
        n_states: S.
        gamma: Discount in [0, 1].
        initial_values: A number or [S]; states that the batch does not leave keep them.

    Returns:
        Values [S].

    Raises:
        ValueError: If an argument is out of range, a state is not below n_states, or an episode was truncated.

    Example:
        >>> one = Experience(*map(np.array, ([0, 1], [0, 0], [-1.0, -2.0], [1, 1], [False, True], [False, True])))
        >>> batch_monte_carlo(one, n_states=2)
        array([-3., -2.])
    """
    check_gamma(gamma)
    _check_states(experience, n_states)
    cut_off = np.flatnonzero(experience.ends & ~experience.terminated)
    if len(cut_off):
        raise ValueError(
            f"step {cut_off[0]}: a truncated episode has no return; batch_monte_carlo needs whole episodes"
        )
    discounts = np.where(experience.terminated, 0.0, gamma)
    returns = discounted_returns(experience.rewards, discounts, experience.ends)
    n_visits = np.bincount(experience.states, minlength=n_states)
    sums = np.bincount(experience.states, weights=returns, minlength=n_states)
    return np.where(n_visits > 0, sums / np.maximum(n_visits, 1), initial_values)


@compiled
def _batch_td_sweep(
    states: Integers, rewards: Floats, discounts: Floats, next_states: Integers, values: Floats
) -> float:
    """Moves the values [S] in place by each state's mean TD error (6.5); returns the largest move."""
    errors, counts = np.zeros(len(values)), np.zeros(len(values), np.int64)
    for t in range(len(states)):
        state = states[t]
        errors[state] += td_error(rewards[t], discounts[t], values[next_states[t]], values[state])
        counts[state] += 1
    largest = 0.0
    for state in range(len(values)):
        if counts[state] > 0:
            move = errors[state] / counts[state]
            values[state] += move
            largest = max(largest, abs(move))
    return largest


def _check_states(experience: Experience, n_states: int) -> None:
    highest = max(int(experience.states.max()), int(experience.next_states.max()))
    _check_index("experience: every state", highest, n_states)
