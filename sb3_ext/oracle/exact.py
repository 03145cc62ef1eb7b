"""A policy's return, values and visits, exactly: linear algebra in place of episodes.

Without a time limit, V solves the Bellman equation and the discounted occupancy d solves its transpose,

    V = r_pi + gamma P_pi V                     (Sutton & Barto, 2nd ed., equations 3.14 and 4.4)
    d = start + gamma P_pi^T d                  d(s) = sum_t gamma^t P(S_t = s), the eta(s) of equation 9.2

where P_pi holds the probabilities of going on: an outcome that terminates the episode leads nowhere. J is start @ V,
and also d @ r_pi.

With a time limit of T steps an episode is truncated after T rewards at the latest. What is it worth then?

    bootstrap=False   Just its rewards. The limit is part of the task: V_T = 0, V_t = r_pi + gamma P_pi V_{t+1}, and the
                      values depend on the time that is left, which the policy does not see.
    bootstrap=True    Its rewards and gamma^T V(S_T), V being the value without a limit. The limit is an interruption
                      that changes no value (V_t = V at all times, J is that without a limit), only which states are
                      seen: none after step T.
    bootstrap=V       Its rewards and gamma^T V(S_T) for values V [S] of your own, a learned critic's for instance.

Pardo et al. (2018), "Time limits in reinforcement learning", tell the first two apart. Read on in ``gradient.py``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.tabular import planning, sweeps
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import look_ahead

Floats = npt.NDArray[np.float64]
MOST_STEPS = 1e12  # the error of a linear solve is about 1e-16 times this, so 4 digits are left


@dataclass(frozen=True, eq=False)
class ExactSolution:
    """What a policy is worth. With a time limit T, arrays have one row for each time t = 0 .. T - 1 before the others.

    Attributes:
        start_value: J, the mean return of an episode from its start.
        values: V [S], or V_t [T, S].
        q_values: Q [S, A], or Q_t [T, S, A].
        advantages: Q - V, of the same shape as Q.
        occupancy: sum_t gamma^t P(S_t = s) [S], or gamma^t P(S_t = s) [T, S]; not normalised. Its sum is the
            (discounted) mean length of an episode: after termination there is no state.
    """

    start_value: float
    values: Floats
    q_values: Floats
    advantages: Floats
    occupancy: Floats


def solve_policy(
    mdp: TabularMDP,
    probabilities: npt.ArrayLike | th.Tensor,
    gamma: float,
    horizon: int | None = None,
    bootstrap: bool | npt.ArrayLike = False,
) -> ExactSolution:
    """J, V, Q, A and the discounted occupancy of a policy.

    Systems are dense: S^3 operations and S^2 numbers. Relative errors are about 1e-16 times the mean number of steps.

    Args:
        mdp: The process.
        probabilities: pi(a | s) [S, A], of an array or a tensor; or actions [S].
        gamma: Discount in [0, 1]; 1 without a horizon needs a policy that ends every episode, from every state.
        horizon: T, steps after which an episode is truncated, at least 1. Default: no time limit.
        bootstrap: What a truncated episode is still worth (see the head of this file): nothing, with True the value
            without a time limit, or values [S].

    Raises:
        ValueError: If the policy does not fit or is none, gamma or the horizon is out of range, bootstrap has no
            horizon or another shape, or gamma is 1 and the policy goes on for ever (nearly for ever) from some state.

    Example:
        >>> walk = TabularMDP.from_arrays([[0, 0]], [[1.0, 1.0]], [[False, True]])  # action 1 ends the episode
        >>> solution = solve_policy(walk, [[0.5, 0.5]], gamma=1.0)
        >>> solution.start_value, solution.q_values, solution.occupancy
        (2.0, array([[3., 1.]]), array([2.]))
        >>> limited = solve_policy(walk, [[0.5, 0.5]], gamma=1.0, horizon=2)
        >>> limited.start_value, limited.values[:, 0], limited.occupancy[:, 0]
        (1.5, array([1.5, 1. ]), array([1. , 0.5]))
        >>> solve_policy(walk, [[0.5, 0.5]], gamma=1.0, horizon=2, bootstrap=True).start_value
        2.0
    """
    policy = _checked(mdp, probabilities, gamma, horizon)
    truncated_value = _truncated_value(mdp, policy, gamma, horizon, bootstrap)
    occupancy = state_occupancy(mdp, policy, gamma, horizon)
    if horizon is None:
        values = _values(mdp, policy, gamma)
        q_values = look_ahead(mdp, values, gamma)
        return ExactSolution(float(mdp.start @ values), values, q_values, q_values - values[:, None], occupancy)
    values = np.empty((horizon + 1, mdp.n_states))
    q_values = np.empty((horizon, mdp.n_states, mdp.n_actions))
    values[horizon] = truncated_value
    for t in reversed(range(horizon)):
        q_values[t] = look_ahead(mdp, values[t + 1], gamma)
        values[t] = (policy * q_values[t]).sum(axis=1)
    values = values[:horizon]
    return ExactSolution(float(mdp.start @ values[0]), values, q_values, q_values - values[..., None], occupancy)


def state_occupancy(
    mdp: TabularMDP, probabilities: npt.ArrayLike | th.Tensor, gamma: float, horizon: int | None = None
) -> Floats:
    """How often each state is visited in an episode, on average, a visit at time t counting gamma^t.

    Args:
        mdp: The process.
        probabilities: pi(a | s) [S, A], or actions [S].
        gamma: Discount in [0, 1]; 1 counts plain visits. Then a state in which nothing can be earned any more, whatever
            is done, counts as left for good after one visit.
        horizon: T, steps after which an episode is truncated. Default: no time limit.

    Returns:
        sum_t gamma^t P(S_t = s) [S], or with a horizon its terms [T, S].

    Raises:
        ValueError: As ``solve_policy``.

    Example:
        >>> walk = TabularMDP.from_arrays([[0, 0]], [[1.0, 1.0]], [[False, True]])
        >>> state_occupancy(walk, [[0.5, 0.5]], gamma=1.0), state_occupancy(walk, [[0.5, 0.5]], 0.5, horizon=2)[:, 0]
        (array([2.]), array([1.  , 0.25]))
    """
    policy = _checked(mdp, probabilities, gamma, horizon)
    if horizon is None:
        transitions, _ = _chain(mdp, policy, gamma)
        return _solved(transitions.T, gamma, mdp.start)
    transitions = planning.transition_matrix(sweeps.chain(sweeps.read(mdp), policy))
    occupancy = np.empty((horizon, mdp.n_states))
    occupancy[0] = mdp.start
    for t in range(1, horizon):
        occupancy[t] = gamma * occupancy[t - 1] @ transitions
    return occupancy


def _values(mdp: TabularMDP, policy: Floats, gamma: float) -> Floats:
    """V [S] without a time limit."""
    transitions, rewards = _chain(mdp, policy, gamma)
    return _solved(transitions, gamma, np.stack([rewards, np.ones_like(rewards)], axis=1))[:, 0]


def _chain(mdp: TabularMDP, policy: Floats, gamma: float) -> tuple[Floats, Floats]:
    """P_pi [S, S], the probabilities of going on, and r_pi [S]; for gamma = 1 of a policy that ends every episode."""
    _, followed = planning.followed_model(mdp, policy, gamma)
    return planning.transition_matrix(followed), followed.reward[:, 0]


def _solved(transitions: Floats, gamma: float, right: Floats) -> Floats:
    """The x of x = right + gamma transitions x; refuses systems that are singular but for rounding.

    The last column of ``right`` is not negative: numbers of visits, which tell how far from singular the system is.
    """
    try:
        system = np.eye(len(transitions)) - gamma * transitions
        solution = np.asarray(np.linalg.solve(system, right), dtype=np.float64)
        visits = solution.reshape(len(transitions), -1)[:, -1]
        is_sound = bool((visits >= -1e-6).all() and visits.max() <= MOST_STEPS)  # False for NaN
    except np.linalg.LinAlgError:
        is_sound = False
    if not is_sound:
        raise ValueError(
            f"gamma={gamma}: episodes go on for more than {MOST_STEPS:.0e} (discounted) steps on average, too many to "
            "tell from for ever; take a smaller gamma or a policy that ends them"
        )
    return solution


def _checked(mdp: TabularMDP, probabilities: npt.ArrayLike | th.Tensor, gamma: float, horizon: int | None) -> Floats:
    """The policy as probabilities [S, A], after a check of all arguments."""
    planning.check_gamma(gamma)
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1):
        raise ValueError(f"horizon must be an integer of at least 1, or None for no time limit, got {horizon}")
    if isinstance(probabilities, th.Tensor):
        probabilities = probabilities.detach().cpu().numpy()
    return planning.policy_probabilities(mdp, probabilities)


def _truncated_value(
    mdp: TabularMDP, policy: Floats, gamma: float, horizon: int | None, bootstrap: bool | npt.ArrayLike
) -> Floats | None:
    """What follows after truncation [S]; None without a time limit."""
    is_choice = isinstance(bootstrap, (bool, np.bool_))
    if horizon is None:
        if not is_choice or bootstrap:
            raise ValueError("bootstrap says what a truncated episode is worth, so it needs a horizon")
        return None
    if is_choice:
        return _values(mdp, policy, gamma) if bootstrap else np.zeros(mdp.n_states)
    values = np.asarray(bootstrap, dtype=np.float64)
    if values.shape != (mdp.n_states,) or not np.isfinite(values).all():
        raise ValueError(f"bootstrap must be True, False or {mdp.n_states} finite values, got shape {values.shape}")
    return values
