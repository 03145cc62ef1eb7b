"""Prediction: what a given policy is worth, learned from its episodes alone.

Every method moves an estimate towards a target, V(S_t) <- V(S_t) + alpha [target - V(S_t)]; they differ in the target
(Sutton & Barto, 2nd ed., chapters 5, 6, 7 and 12):

    monte_carlo_prediction    G_t, the whole return                                       (6.1)
    td_prediction             G_{t:t+n}, n rewards and the value of the state reached     (7.1); n = 1: TD(0) (6.2)
    td_lambda_prediction      the mean of all of these, by eligibility traces             (12.5 to 12.7)
    importance_sampling       G_t from another policy's episodes, weighted                (5.5, 5.6)

Beyond the book: time limits. An episode that is cut off has a future, so the value of the state reached stands in for
it (Pardo et al. 2018); a terminated one has none.

The equations are in ``prediction_rules.py``, the compiled loops, tens of millions of steps a second, in
``prediction_loops.py``. The exact answer to compare with is ``planning.policy_evaluation``. Read next:
``batch_prediction.py``, which shows what TD and Monte Carlo each converge to on the same data.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt

from sb3_ext.common.random_numbers import RandomState
from sb3_ext.tabular import prediction_loops as loops
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import check_gamma, policy_probabilities
from sb3_ext.tabular.prediction_loops import LONGEST_EPISODE, Booleans, Floats, Rule, make_chain


def td_prediction(
    mdp: TabularMDP,
    policy: npt.ArrayLike,
    learning_rate: float | None = 0.1,
    gamma: float = 1.0,
    n_steps: int = 1,
    *,
    n_episodes: int = 100,
    seed: int | Sequence[int] = 0,
    initial_values: npt.ArrayLike = 0.0,
    max_episode_steps: int | None = None,
    record_every: int = 1,
    n_threads: int | None = None,
) -> Floats:
    """TD(0) and n-step TD (boxes in sections 6.1 and 7.1): ``V(S_t) <- V(S_t) + alpha [G_{t:t+n} - V(S_t)]``.

    Args:
        mdp: The process; episodes start as ``mdp.start`` says.
        policy: Actions [S], or probabilities [S, A].
        learning_rate: alpha in (0, 1]; None for 1/N(s), N(s) being the number of visits.
        gamma: Discount in [0, 1].
        n_steps: n, rewards before the estimate takes over; 1 is TD(0), more than an episode has is Monte Carlo.
        n_episodes: Episodes of a run.
        seed: Of a run, not negative; several seeds are as many independent runs. Different methods see the same
            episodes from the same seed.
        initial_values: A number or [S]; terminal states have the value 0 whatever it says.
        max_episode_steps: Time limit; a truncated episode bootstraps from the state reached.
        record_every: Episodes from one record of the values to the next; divides ``n_episodes``.
        n_threads: Threads that the seeds are spread over (default: all CPUs); changes nothing else.

    Returns:
        The values after 0, record_every, 2 record_every, ... episodes: [n_episodes / record_every + 1, S], or
        [n_seeds, n_episodes / record_every + 1, S] if several seeds were given.

    Raises:
        ValueError: If an argument is out of range, the policy does not fit, or an episode does not end within a million
            steps while there is no time limit.

    Example:
        >>> mdp = TabularMDP.from_arrays([[1], [1]], [[-1.0], [-1.0]], [[False], [True]], start=[1.0, 0.0])
        >>> td_prediction(mdp, [0, 0], learning_rate=0.5, n_episodes=2)
        array([[ 0.  ,  0.  ],
               [-0.5 , -0.5 ],
               [-1.  , -0.75]])
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    rule = _rule(loops.N_STEP_TD, learning_rate, gamma, max_episode_steps, n_steps=n_steps)
    return _learn(mdp, policy, rule, n_episodes, seed, initial_values, record_every, n_threads)


def td_lambda_prediction(  # noqa: D417 - the other arguments are td_prediction's
    mdp: TabularMDP,
    policy: npt.ArrayLike,
    learning_rate: float | None = 0.1,
    gamma: float = 1.0,
    lambda_: float = 0.9,
    traces: Literal["accumulating", "replacing"] = "accumulating",
    *,
    n_episodes: int = 100,
    seed: int | Sequence[int] = 0,
    initial_values: npt.ArrayLike = 0.0,
    max_episode_steps: int | None = None,
    record_every: int = 1,
    n_threads: int | None = None,
) -> Floats:
    """TD(lambda) (box in section 12.2): every state moves at every step, ``V(s) <- V(s) + alpha delta_t z_t(s)``.

    lambda = 0 is TD(0). lambda = 1 is a Monte Carlo method that learns during the episode: it comes the closer to the
    every-visit one (accumulating traces) or the first-visit one (replacing traces), the smaller alpha is.

    Args:
        mdp, policy, gamma: As in ``td_prediction``, and likewise what is not listed here.
        learning_rate: alpha in (0, 1]; None for 1/N(s) of each state that is moved. Accumulating traces may grow beyond
            1, so that values grow without limit if alpha is too large.
        lambda_: Trace decay in [0, 1].
        traces: "accumulating" or "replacing".

    Returns:
        As ``td_prediction``.

    Raises:
        ValueError: As ``td_prediction``; or if lambda_ or traces is none of the above.

    Example:
        >>> mdp = TabularMDP.from_arrays([[1], [1]], [[-1.0], [-1.0]], [[False], [True]], start=[1.0, 0.0])
        >>> td_lambda_prediction(mdp, [0, 0], learning_rate=0.5, lambda_=1.0, n_episodes=1)[-1]
        array([-1. , -0.5])
    """
    if not 0 <= lambda_ <= 1:
        raise ValueError(f"lambda_ must lie in [0, 1], got {lambda_}")
    if traces not in ("accumulating", "replacing"):
        raise ValueError(f"traces must be 'accumulating' or 'replacing', got {traces!r}")
    replacing = traces == "replacing"
    rule = _rule(loops.TD_LAMBDA, learning_rate, gamma, max_episode_steps, lambda_=lambda_, replacing=replacing)
    return _learn(mdp, policy, rule, n_episodes, seed, initial_values, record_every, n_threads)


def monte_carlo_prediction(  # noqa: D417 - the other arguments are td_prediction's
    mdp: TabularMDP,
    policy: npt.ArrayLike,
    learning_rate: float | None = None,
    gamma: float = 1.0,
    visits: Literal["first", "every"] = "first",
    *,
    n_episodes: int = 100,
    seed: int | Sequence[int] = 0,
    initial_values: npt.ArrayLike = 0.0,
    max_episode_steps: int | None = None,
    record_every: int = 1,
    n_threads: int | None = None,
) -> Floats:
    """Monte Carlo prediction (box in section 5.1): ``V(S_t) <- V(S_t) + alpha [G_t - V(S_t)]`` after the episode.

    Args:
        mdp, policy, gamma: As in ``td_prediction``, and likewise what is not listed here.
        learning_rate: None for 1/N(s), the mean of the returns (the initial values then do not count), or a constant
            alpha in (0, 1] (equation 6.1). Of several visits the last one is dealt with first, as in the box.
        visits: "first" learns from the return that followed the first visit of an episode to a state (no bias), "every"
            from all visits (a bias that vanishes).
        max_episode_steps: Time limit. The rewards that a truncated episode has lost are replaced by the value of the
            state reached, as estimated before the episode: no longer Monte Carlo in the strict sense, but right in the
            limit, where a sum that just stops is not.

    Returns:
        As ``td_prediction``.

    Raises:
        ValueError: As ``td_prediction``; or if visits is none of the above.

    Example:
        >>> mdp = TabularMDP.from_arrays([[1], [1]], [[-1.0], [-1.0]], [[False], [True]], start=[1.0, 0.0])
        >>> monte_carlo_prediction(mdp, [0, 0], n_episodes=1)
        array([[ 0.,  0.],
               [-2., -1.]])
    """
    if visits not in ("first", "every"):
        raise ValueError(f"visits must be 'first' or 'every', got {visits!r}")
    rule = _rule(loops.MONTE_CARLO, learning_rate, gamma, max_episode_steps, every_visit=visits == "every")
    return _learn(mdp, policy, rule, n_episodes, seed, initial_values, record_every, n_threads)


def importance_sampling(  # noqa: D417 - the other arguments are td_prediction's
    mdp: TabularMDP,
    target: npt.ArrayLike,
    behaviour: npt.ArrayLike,
    state: int,
    action: int | None = None,
    weighted: bool = True,
    gamma: float = 1.0,
    *,
    n_episodes: int = 100,
    seed: int | Sequence[int] = 0,
    record_every: int = 1,
    n_threads: int | None = None,
) -> Floats:
    """Off-policy Monte Carlo prediction (section 5.5): the value of a state for one policy from another's episodes.

    Every episode starts in the state and counts once, by the return from there: the first-visit estimate.

    Args:
        mdp: The process.
        target: pi, the policy whose value is asked for: actions [S] or probabilities [S, A].
        behaviour: b, the policy that acts, likewise; it must be able to do whatever pi may do.
        state: Where episodes start.
        action: The first action, if q_pi(state, action) is asked for instead of v_pi(state).
        weighted: Weighted importance sampling (equation 5.6), else ordinary (5.5).
        gamma: Discount in [0, 1].
        n_episodes, seed, record_every, n_threads: As in ``td_prediction``.

    Returns:
        The estimates after 0, record_every, ... episodes: [n_episodes / record_every + 1], or one such row for each of
        several seeds. Before the first episode (and, if weighted, the first that has weight) the estimate is 0.

    Raises:
        ValueError: If an argument is out of range, a policy does not fit, pi may do what b never does, or an episode
            does not end within a million steps.

    Example:
        >>> bandit = TabularMDP.from_arrays([[0, 0]], [[1.0, 5.0]], True)
        >>> importance_sampling(bandit, target=[0], behaviour=[[0.5, 0.5]], state=0, n_episodes=1000)[-1]
        np.float64(1.0)
    """
    check_gamma(gamma)
    _check_index("state", state, mdp.n_states)
    pi, b = policy_probabilities(mdp, target), policy_probabilities(mdp, behaviour)
    _check_coverage(pi, b, _terminal_states(mdp))
    ratios = np.divide(pi, b, out=np.zeros_like(pi), where=b > 0)
    rows = np.append(np.arange(mdp.n_states), state)  # one more row: the start, from which an action may be prescribed
    b, ratios = b[rows], ratios[rows]
    if action is not None:
        _check_index("action", action, mdp.n_actions)
        b[-1], ratios[-1] = np.eye(mdp.n_actions)[action], 1.0
    chain = make_chain(mdp, b, rows)
    n_records = _count_records(n_episodes, record_every)

    def run(one_seed: int) -> Floats:
        record = np.zeros(n_records)
        _raise_if_endless(
            loops.importance_sampling_run(chain, ratios, gamma, weighted, _generator(one_seed), record, record_every),
            one_seed, "importance_sampling needs policies that end every episode",
        )  # fmt: skip
        return record

    return _over_seeds(run, seed, n_threads)


# ---- Around the loops ------------------------------------------------------------------------------------------------


def _learn(
    mdp: TabularMDP, policy: npt.ArrayLike, rule: Rule, n_episodes: int, seed: int | Sequence[int],
    initial_values: npt.ArrayLike, record_every: int, n_threads: int | None,
) -> Floats:  # fmt: skip
    """Runs the rule once for each seed; arguments and result as in ``td_prediction``."""
    n_records = _count_records(n_episodes, record_every)
    initial = np.asarray(initial_values, dtype=np.float64)
    if initial.shape not in ((), (mdp.n_states,)) or not np.isfinite(initial).all():
        raise ValueError(f"initial_values must be a finite number or [{mdp.n_states}] of them, got {initial}")
    chain = make_chain(mdp, policy_probabilities(mdp, policy))
    initial = np.where(_terminal_states(mdp), 0.0, initial)

    def run(one_seed: int) -> Floats:
        record = np.empty((n_records, mdp.n_states))
        endless = loops.run(chain, rule, initial.copy(), _generator(one_seed), record, record_every)
        _raise_if_endless(endless, one_seed, "give a time limit, max_episode_steps")
        return record

    return _over_seeds(run, seed, n_threads)


def _rule(
    method: int, learning_rate: float | None, gamma: float,
    max_episode_steps: int | None, *, n_steps: int = 0, lambda_: float = 0.0, replacing: bool = False,
    every_visit: bool = False,
) -> Rule:  # fmt: skip
    """The rule, after a check of what all methods have in common."""
    check_gamma(gamma)
    if learning_rate is not None and not 0 < learning_rate <= 1:
        raise ValueError(f"learning_rate must lie in (0, 1], or be None for 1/N, got {learning_rate}")
    if max_episode_steps is not None and max_episode_steps < 1:
        raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
    limit = LONGEST_EPISODE if max_episode_steps is None else int(max_episode_steps)
    return Rule(
        method, float(learning_rate or 0.0), float(gamma), limit,
        max_episode_steps is not None, min(int(n_steps), limit), float(lambda_), replacing, every_visit,
    )  # fmt: skip


def _terminal_states(mdp: TabularMDP) -> Booleans:
    """Where nothing can happen any more, bool [S]: every outcome ends the episode on the spot, without a reward."""
    stays = mdp.next_state == np.arange(mdp.n_states)[:, None, None]
    return ((stays & mdp.terminated & (mdp.reward == 0)) | (mdp.probability == 0)).all(axis=(1, 2))


def _generator(seed: int) -> RandomState:
    """A splitmix64 generator, uint64 [1]; NumPy's seed sequence keeps neighbouring seeds apart."""
    return np.random.SeedSequence(seed).generate_state(1, np.uint64).astype(np.uint64)


def _over_seeds(run: Callable[[int], Floats], seed: int | Sequence[int], n_threads: int | None) -> Floats:
    """run(seed), or its results for several seeds stacked; the compiled loops let go of the GIL."""
    seeds = [seed] if isinstance(seed, int | np.integer) else list(seed)
    if not seeds or min(seeds) < 0:
        raise ValueError(f"seed must be a number that is not negative, or several of them, got {seed}")
    if n_threads is not None and n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    with ThreadPoolExecutor(n_threads or os.cpu_count()) as pool:
        results = list(pool.map(run, map(int, seeds)))
    return results[0] if isinstance(seed, int | np.integer) else np.stack(results)


def _count_records(n_episodes: int, record_every: int) -> int:
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be at least 1, got {n_episodes}")
    if record_every < 1 or n_episodes % record_every:
        raise ValueError(f"record_every must divide n_episodes={n_episodes}, got {record_every}")
    return n_episodes // record_every + 1


def _raise_if_endless(episode: int, seed: int, way_out: str) -> None:
    if episode >= 0:
        raise ValueError(f"seed {seed}: episode {episode} did not end within {LONGEST_EPISODE} steps; {way_out}")


def _check_index(name: str, index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ValueError(f"{name} must lie in 0 .. {size - 1}, got {index}")


def _check_coverage(pi: Floats, b: Floats, terminal: Booleans) -> None:
    """Importance sampling needs b > 0 wherever pi > 0 (section 5.5, the assumption of coverage)."""
    uncovered = np.argwhere((pi > 0) & (b <= 0) & ~terminal[:, None])
    if len(uncovered):
        state, action = map(int, uncovered[0])
        raise ValueError(
            f"state {state}, action {action}: the target policy takes it with probability {pi[state, action]}, the "
            "behaviour never does"
        )
