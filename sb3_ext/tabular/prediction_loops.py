"""The compiled loops of prediction: an MDP and a policy, an episode after the other, the rules applied at every step.

With the policy fixed there is nothing to decide: both together are a Markov chain with rewards, and one random number
a step draws action and outcome. So every method sees the same episodes from the same seed. The loops run uncompiled
too (``NUMBA_DISABLE_JIT=1``), with the same result bit for bit. They follow the boxes in sections 5.1, 5.6, 6.1, 7.1
and 12.2 of Sutton & Barto (2nd ed.).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import compiled
from sb3_ext.common.random_numbers import RandomState, splitmix64_uniform
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.prediction_rules import (
    accumulating_trace,
    one_step_return,
    ordinary_estimate,
    replacing_trace,
    step_size,
    td_error,
    updated,
    weighted_estimate,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

LONGEST_EPISODE = 1_000_000  # steps; without a time limit, a longer episode counts as endless
N_STEP_TD, TD_LAMBDA, MONTE_CARLO = 0, 1, 2  # methods


class Chain(NamedTuple):
    """What MDP and policy are together: a Markov chain with rewards, J possible steps from each state."""

    cumulative: Floats  # [S, J], of the steps' probabilities; 1 from the last possible one on
    action: Integers  # [S, J], the action that the step belongs to
    next_state: Integers  # [S, J]
    reward: Floats  # [S, J]
    terminated: Booleans  # [S, J]
    start: Floats  # [S], cumulative


class Rule(NamedTuple):
    """How to learn; what the method does not use is 0."""

    method: int  # one of the above
    learning_rate: float  # 0 for 1/N
    gamma: float
    limit: int  # steps of an episode
    truncates: bool  # whether the limit is a time limit, else it is an error to reach it
    n_steps: int
    lambda_: float
    replacing: bool
    every_visit: bool


def make_chain(mdp: TabularMDP, probabilities: Floats, rows: Integers | None = None) -> Chain:
    """MDP and policy as one chain; step j of a state is an action and its outcome. Impossible ones are left out.

    Args:
        mdp: The process.
        probabilities: The policy [n, A].
        rows: States [n] that the chain's rows stand for; default: every state once.
    """
    states = np.arange(mdp.n_states) if rows is None else rows
    shape = (len(states), mdp.n_actions * mdp.n_outcomes)
    weights = (probabilities[:, :, None] * mdp.probability[states]).reshape(shape)
    n_possible = (weights > 0).sum(axis=1)
    order = np.argsort(weights <= 0, axis=1, kind="stable")[:, : n_possible.max()]
    cumulative = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    cumulative[np.arange(order.shape[1]) >= n_possible[:, None] - 1] = 1.0  # rounding must not let a number fall beyond

    def steps(array: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
        return np.take_along_axis(array[states].reshape(shape), order, axis=1).astype(dtype)

    return Chain(
        cumulative, (order // mdp.n_outcomes).astype(np.int64), steps(mdp.next_state, np.int64),
        steps(mdp.reward, np.float64), steps(mdp.terminated, np.bool_), _cumulative_start(mdp),
    )  # fmt: skip


def _cumulative_start(mdp: TabularMDP) -> Floats:
    cumulative = np.cumsum(mdp.start)
    cumulative[int(mdp.start.nonzero()[0][-1]) :] = 1.0
    return cumulative


@compiled
def draw(cumulative: Floats, uniform: float) -> int:
    """The first index whose cumulative probability [J] is above a number in [0, 1), by bisection."""
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if uniform < cumulative[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def td_episode(
    chain: Chain, rule: Rule, values: Floats, counts: Integers, states: Integers, rewards: Floats, random: RandomState
) -> bool:
    """One episode of n-step TD; ``states`` and ``rewards`` [n] hold the last n steps. Returns whether it terminated."""
    n, gamma, t = rule.n_steps, rule.gamma, 0
    state = draw(chain.start, splitmix64_uniform(random))
    ended = False
    while not ended:
        step = draw(chain.cumulative[state], splitmix64_uniform(random))
        states[t % n], rewards[t % n] = state, chain.reward[state, step]
        terminated = chain.terminated[state, step]
        state = chain.next_state[state, step]
        ended = terminated or t + 1 == rule.limit
        last_updated = t if ended else t - n + 1
        for tau in range(max(t - n + 1, 0), last_updated + 1):
            return_ = one_step_return(rewards[t % n], 0.0 if terminated else gamma, values[state])
            for i in range(t - 1, tau - 1, -1):
                return_ = one_step_return(rewards[i % n], gamma, return_)
            visited = states[tau % n]
            counts[visited] += 1
            alpha = step_size(rule.learning_rate, counts[visited])
            values[visited] = updated(values[visited], return_ - values[visited], alpha)
        t += 1
    return terminated


@compiled
def lambda_episode(
    chain: Chain, rule: Rule, values: Floats, counts: Integers, active: Integers, traces: Floats, random: RandomState
) -> bool:
    """One episode of TD(lambda); the first entries of ``active`` [S] are the states whose trace [S] is not 0."""
    n_active = 0
    state = draw(chain.start, splitmix64_uniform(random))
    terminated = False
    for _ in range(rule.limit):
        step = draw(chain.cumulative[state], splitmix64_uniform(random))
        terminated = chain.terminated[state, step]
        next_state = chain.next_state[state, step]
        discount = 0.0 if terminated else rule.gamma
        delta = td_error(chain.reward[state, step], discount, values[next_state], values[state])
        counts[state] += 1
        if traces[state] == 0:
            active[n_active] = state
            n_active += 1
        n_kept = 0
        for i in range(n_active):
            s = active[i]
            if rule.replacing:
                traces[s] = replacing_trace(traces[s], rule.gamma, rule.lambda_, s == state)
            else:
                traces[s] = accumulating_trace(traces[s], rule.gamma, rule.lambda_, s == state)
            if traces[s] > 0:
                values[s] = updated(values[s], delta * traces[s], step_size(rule.learning_rate, counts[s]))
                active[n_kept] = s
                n_kept += 1
        n_active = n_kept
        state = next_state
        if terminated:
            break
    for i in range(n_active):
        traces[active[i]] = 0.0
    return terminated


@compiled
def monte_carlo_episode(
    chain: Chain, rule: Rule, values: Floats, counts: Integers, first_visit: Integers, random: RandomState
) -> bool:
    """One episode of Monte Carlo; ``first_visit`` [S] is -1 before and after."""
    states, rewards = np.empty(64, np.int64), np.empty(64)
    state = draw(chain.start, splitmix64_uniform(random))
    t, terminated = 0, False
    while not terminated and t < rule.limit:
        if t == len(states):
            states, rewards = doubled(states), doubled(rewards)
        step = draw(chain.cumulative[state], splitmix64_uniform(random))
        states[t], rewards[t] = state, chain.reward[state, step]
        if first_visit[state] < 0:
            first_visit[state] = t
        terminated = chain.terminated[state, step]
        state = chain.next_state[state, step]
        t += 1
    return_ = 0.0 if terminated else values[state]
    for i in range(t - 1, -1, -1):
        return_ = one_step_return(rewards[i], rule.gamma, return_)
        visited = states[i]
        if rule.every_visit or first_visit[visited] == i:
            counts[visited] += 1
            alpha = step_size(rule.learning_rate, counts[visited])
            values[visited] = updated(values[visited], return_ - values[visited], alpha)
        if first_visit[visited] == i:
            first_visit[visited] = -1
    return terminated


@compiled
def run(chain: Chain, rule: Rule, values: Floats, random: RandomState, record: Floats, record_every: int) -> int:
    """Learns [S] in place and records [R, S]; returns the episode that did not end, or -1."""
    n_states = len(values)
    states, rewards = np.empty(max(rule.n_steps, 1), np.int64), np.empty(max(rule.n_steps, 1))
    counts, active, traces = np.zeros(n_states, np.int64), np.full(n_states, -1), np.zeros(n_states)
    record[0] = values
    for episode in range((len(record) - 1) * record_every):
        if rule.method == N_STEP_TD:
            terminated = td_episode(chain, rule, values, counts, states, rewards, random)
        elif rule.method == TD_LAMBDA:
            terminated = lambda_episode(chain, rule, values, counts, active, traces, random)
        else:
            terminated = monte_carlo_episode(chain, rule, values, counts, active, random)
        if not (terminated or rule.truncates):
            return episode
        if (episode + 1) % record_every == 0:
            record[(episode + 1) // record_every] = values
    return -1


@compiled
def importance_sampling_run(
    chain: Chain, ratios: Floats, gamma: float, weighted: bool, random: RandomState, record: Floats, record_every: int
) -> int:
    """Records the estimates [R]; returns the episode that did not end, or -1."""
    estimate, total = 0.0, 0.0
    for episode in range((len(record) - 1) * record_every):
        return_, discount, ratio, t, terminated = 0.0, 1.0, 1.0, 0, False
        state = len(ratios) - 1  # the additional row: the start
        while not terminated and ratio > 0:  # an episode that pi would not have had counts as 0, whatever follows
            if t == LONGEST_EPISODE:
                return episode
            step = draw(chain.cumulative[state], splitmix64_uniform(random))
            ratio *= ratios[state, chain.action[state, step]]  # 5.3
            return_ += discount * chain.reward[state, step]
            discount *= gamma
            terminated = chain.terminated[state, step]
            state = chain.next_state[state, step]
            t += 1
        total += ratio
        if weighted:
            estimate = weighted_estimate(estimate, return_, ratio, total)
        else:
            estimate = ordinary_estimate(estimate, return_, ratio, episode + 1)
        if (episode + 1) % record_every == 0:
            record[(episode + 1) // record_every] = estimate
    return -1


@compiled
def sample(
    chain: Chain, rule: Rule, n_episodes: int, random: RandomState
) -> tuple[int, tuple[Integers, Integers, Floats, Integers, Booleans, Booleans]]:
    """The episode that did not end, or -1, and the columns of ``Experience``."""
    states, steps, ends = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.bool_)
    n, endless = 0, -1
    for episode in range(n_episodes):
        state = draw(chain.start, splitmix64_uniform(random))
        t, ended = 0, False
        while not ended:
            if n == len(states):
                states, steps, ends = doubled(states), doubled(steps), doubled(ends)
            step = draw(chain.cumulative[state], splitmix64_uniform(random))
            t += 1
            terminated = chain.terminated[state, step]
            ended = terminated or t == rule.limit
            states[n], steps[n], ends[n] = state, step, ended
            state = chain.next_state[state, step]
            n += 1
        if not (terminated or rule.truncates):
            endless = episode
            break
    actions, rewards, next_states = np.empty(n, np.int64), np.empty(n), np.empty(n, np.int64)
    terminations = np.empty(n, np.bool_)
    for i in range(n):
        pair = states[i], steps[i]
        actions[i], rewards[i] = chain.action[pair], chain.reward[pair]
        next_states[i], terminations[i] = chain.next_state[pair], chain.terminated[pair]
    return endless, (states[:n].copy(), actions, rewards, next_states, terminations, ends[:n].copy())


@compiled
def doubled(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with as much room again."""
    return np.concatenate((array, np.empty_like(array)))
