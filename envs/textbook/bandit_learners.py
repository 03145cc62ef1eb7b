"""Learners for multi-armed bandits: how to choose an arm, and what to remember of it.

Sutton & Barto (2nd ed.), chapter 2. A learner is two pure functions: ``select`` (which arm next?) and ``update`` (what
was learned?). Both work on arrays [..., k], so that two thousand bandits are played side by side, as in the book.

    select            update              section   explores because
    epsilon_greedy    update_estimates    2.2       it sometimes ignores what it knows
    epsilon_greedy    update_estimates    2.6       with epsilon 0 and high first estimates: it is always disappointed
    ucb               update_estimates    2.7       an arm that is little known might be good
    gradient_bandit   update_preferences  2.8       its policy is stochastic
    thompson          update_estimates    -         it acts on one guess drawn from what it believes

The worlds they play in, and the loop: ``bandits.py``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Memory(NamedTuple):
    """What a bandit learner knows.

    Attributes:
        values: Q_t(a), the estimates; for the gradient bandit H_t(a), the preferences; [..., k].
        counts: N_t(a), how often each arm was pulled; [..., k].
        mean_reward: average of all rewards so far (the gradient bandit's baseline); [...].
    """

    values: Floats
    counts: Ints
    mean_reward: Floats


Select = Callable[[Memory, np.random.Generator], Ints]
Update = Callable[[Memory, Ints, Floats], Memory]


def blank_memory(shape: tuple[int, ...], initial_value: float = 0.0) -> Memory:
    """Nothing seen yet; ``initial_value`` above every reward makes the learner optimistic (section 2.6).

    Example:
        >>> blank_memory((2,), initial_value=5.0)
        Memory(values=array([5., 5.]), counts=array([0, 0]), mean_reward=array(0.))
    """
    return Memory(np.full(shape, initial_value), np.zeros(shape, dtype=np.int64), np.zeros(shape[:-1]))


def greedy(scores: Floats, rng: np.random.Generator) -> Ints:
    """The arm with the highest score (eq. 2.2), ties broken at random.

    Args:
        scores: [..., k].
        rng: Source of the tie-breaking.

    Returns:
        Arms [...].

    Example:
        >>> greedy(np.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.random.default_rng(0))
        array([1, 0])
    """
    lottery = rng.random(scores.shape, dtype=np.float32) + 1.0  # at least 1 for every arm, so that a loser's 0 loses
    return np.argmax(lottery * (scores == scores.max(axis=-1, keepdims=True)), axis=-1)


def epsilon_greedy(memory: Memory, rng: np.random.Generator, epsilon: float = 0.1) -> Ints:
    """Greedy, but with probability epsilon any arm, uniformly (section 2.2). Returns arms [...].

    Example:
        >>> memory = blank_memory((3,))._replace(values=np.array([0.0, 1.0, 0.0]))
        >>> int(epsilon_greedy(memory, np.random.default_rng(0), epsilon=0.0))
        1
    """
    arms = greedy(memory.values, rng)
    random_arms = rng.integers(memory.values.shape[-1], size=arms.shape)
    return np.where(rng.random(arms.shape) < epsilon, random_arms, arms)


def ucb(memory: Memory, rng: np.random.Generator, c: float = 2.0) -> Ints:
    """Upper confidence bound (eq. 2.10): ``argmax_a Q_t(a) + c sqrt(ln t / N_t(a))``; an arm never pulled comes first.

    Example:
        >>> memory = Memory(np.array([0.9, 1.0]), np.array([1, 50]), np.array(1.0))
        >>> int(ucb(memory, np.random.default_rng(0)))  # the arm that is less known
        0
    """
    t = memory.counts.sum(axis=-1, keepdims=True) + 1
    bonus = c * np.sqrt(np.log(t) / np.maximum(memory.counts, 1))
    return greedy(np.where(memory.counts == 0, np.inf, memory.values + bonus), rng)


def softmax(preferences: Floats) -> Floats:
    """pi_t(a) = exp(H_t(a)) / sum_b exp(H_t(b)) (eq. 2.11), over the last axis.

    Example:
        >>> softmax(np.array([0.0, np.log(3.0)]))
        array([0.25, 0.75])
    """
    powers = np.exp(preferences - preferences.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def gradient_bandit(memory: Memory, rng: np.random.Generator) -> Ints:
    """An arm drawn from the softmax of the preferences (eq. 2.11). Returns arms [...]."""
    cumulative = np.cumsum(softmax(memory.values), axis=-1)
    uniform = rng.random(cumulative.shape[:-1])[..., None] * cumulative[..., -1:]
    return (uniform >= cumulative).sum(axis=-1)


def thompson(memory: Memory, rng: np.random.Generator) -> Ints:
    """Thompson sampling: one draw of every mean from its posterior, then the arm whose draw is highest.

    With means drawn from N(0, 1) and rewards from N(mean, 1), as in the testbed, the posterior after N pulls of average
    Q is ``N(Q N / (N + 1), 1 / (N + 1))``. Needs sample averages. Source: Thompson (1933); Russo et al. (2018), A
    Tutorial on Thompson Sampling, section 4.
    """
    draws = memory.values * memory.counts + np.sqrt(memory.counts + 1) * rng.standard_normal(memory.values.shape)
    return greedy(draws / (memory.counts + 1), rng)


def update_estimates(memory: Memory, arms: Ints, rewards: Floats, step_size: float | None = None) -> Memory:
    """``Q(A) <- Q(A) + alpha (R - Q(A))``, alpha being 1/N(A), the sample average (eq. 2.3), or constant (eq. 2.5).

    Args:
        memory: What was known before.
        arms: A_t, [...].
        rewards: R_t, [...].
        step_size: alpha; None for the sample average. Constant is right where the means drift.

    Returns:
        What is known after; the input is left as it was.

    Example:
        >>> memory = update_estimates(blank_memory((2,)), np.array(1), np.array(3.0))
        >>> update_estimates(memory, np.array(1), np.array(1.0)).values
        array([0., 2.])
    """
    counts, mean_reward = _count(memory, arms, rewards)
    chosen = np.asarray(arms)[..., None]
    old = np.take_along_axis(memory.values, chosen, axis=-1)
    alpha = 1 / np.take_along_axis(counts, chosen, axis=-1) if step_size is None else step_size
    values = memory.values.copy()
    np.put_along_axis(values, chosen, old + alpha * (np.asarray(rewards)[..., None] - old), axis=-1)
    return Memory(values, counts, mean_reward)


def update_preferences(
    memory: Memory, arms: Ints, rewards: Floats, step_size: float = 0.1, baseline: bool = True
) -> Memory:
    """Gradient ascent on the expected reward (eq. 2.12): ``H(a) <- H(a) + alpha (R - baseline) (1{a = A} - pi(a))``.

    The baseline is the average of the rewards so far, this one included, as in the book; without it, it is 0.

    Args:
        memory: What was known before; ``values`` are the preferences.
        arms: A_t, [...].
        rewards: R_t, [...].
        step_size: alpha.
        baseline: False for the lower curves of figure 2.5.

    Returns:
        What is known after; the input is left as it was.

    Example:
        >>> update_preferences(blank_memory((2,)), np.array(0), np.array(1.0), 0.1, baseline=False).values
        array([ 0.05, -0.05])
    """
    counts, mean_reward = _count(memory, arms, rewards)
    advantage = np.asarray(rewards - mean_reward if baseline else rewards)[..., None]
    taken = np.arange(memory.values.shape[-1]) == np.asarray(arms)[..., None]
    return Memory(memory.values + step_size * advantage * (taken - softmax(memory.values)), counts, mean_reward)


def _count(memory: Memory, arms: Ints, rewards: Floats) -> tuple[Ints, Floats]:
    """N(a) and the average reward, after one more pull."""
    counts = memory.counts + (np.arange(memory.counts.shape[-1]) == np.asarray(arms)[..., None])
    return counts, memory.mean_reward + (rewards - memory.mean_reward) / counts.sum(axis=-1)
