"""Baird's counterexample: the deadly triad at work.

Seven states, rewards that are all zero, linear features that could represent the true values exactly: and yet
bootstrapping off-policy sends the weights to infinity (Sutton & Barto, 2nd ed., figures 11.1 and 11.2). Exact solution:
every value is 0. ``stability_matrix`` says why the weights grow: one of its eigenvalues is on the wrong side of 0.
Read next: section 11.4 to 11.8 of the book, on what can be done.
"""

import numpy as np
from numpy.typing import NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP

Floats = NDArray[np.float64]

DASHED, SOLID = 0, 1
N_STATES = 7
LOWER = 6  # index of the seventh state
BEHAVIOUR: Floats = np.array([6 / 7, 1 / 7])  # b(action), the same in every state: all states equally often
TARGET: Floats = np.array([0.0, 1.0])  # pi(action): always solid
GAMMA = 0.99
FIRST_WEIGHTS: Floats = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0])


def features() -> Floats:
    """x(s) [7, 8]: ``v(s, w) = 2 w_s + w_8`` for the six upper states, ``w_7 + 2 w_8`` for the lower (fig. 11.1).

    Eight weights for seven states: the true values, all 0, are represented exactly, by w = 0 and by others.
    """
    table = np.zeros((N_STATES, N_STATES + 1))
    upper = np.arange(LOWER)
    table[upper, upper] = 2.0
    table[upper, -1] = 1.0
    table[LOWER, [LOWER, -1]] = 1.0, 2.0
    return table


def baird_mdp() -> TabularMDP:
    """The star as arrays: dashed leads to one of the six upper states, solid to the lower one; no reward, no end."""
    next_state = np.stack([np.arange(LOWER), np.full(LOWER, LOWER)])
    probability = np.stack([np.full(LOWER, 1 / LOWER), np.arange(LOWER) == 0])
    shape = (N_STATES, 2, LOWER)
    return TabularMDP.from_arrays(
        next_state=np.broadcast_to(next_state, shape), reward=0.0, probability=np.broadcast_to(probability, shape)
    )


def semi_gradient_td(
    weights: Floats, state: int, action: int, reward: float, next_state: int, alpha: float = 0.01, gamma: float = GAMMA
) -> Floats:
    """One step of semi-gradient off-policy TD(0) (eq. 11.2): ``w + alpha rho delta x(S)`` (fig. 11.2, left).

    ``delta = R + gamma v(S') - v(S)`` and ``rho = pi(A) / b(A)``: 7 for solid, 0 for dashed.

    Args:
        weights: w, [8].
        state: S.
        action: A, drawn from BEHAVIOUR.
        reward: R, 0 in this world.
        next_state: S'.
        alpha: Step size.
        gamma: Discount.

    Returns:
        The new weights [8]; the input is left as it was.
    """
    x = features()
    delta = reward + gamma * weights @ x[next_state] - weights @ x[state]
    return weights + alpha * TARGET[action] / BEHAVIOUR[action] * delta * x[state]


def semi_gradient_dp(weights: Floats, alpha: float = 0.01, gamma: float = GAMMA) -> Floats:
    """One synchronous sweep of semi-gradient dynamic programming (eq. 11.9): no sampling, no noise (fig. 11.2, right).

    ``w + alpha / |S| sum_s (E_pi[R + gamma v(S')] - v(s)) x(s)``; under the target policy S' is the lower state.

    Example:
        >>> norms = [np.linalg.norm(FIRST_WEIGHTS)]
        >>> weights = FIRST_WEIGHTS
        >>> for _ in range(1000):
        ...     weights = semi_gradient_dp(weights)
        >>> bool(np.linalg.norm(weights) > 10 * norms[0])
        True
    """
    return weights - alpha * stability_matrix(gamma=gamma) @ weights


def stability_matrix(state_distribution: Floats | None = None, gamma: float = GAMMA) -> Floats:
    """A = X^T D (I - gamma P_pi) X (sections 9.4 and 11.4): the expected update is ``w <- w - alpha A w``.

    An eigenvalue of A with a negative real part makes w grow for every step size, however small.

    Args:
        state_distribution: Diagonal of D, how often each state is updated, [7]; uniform, as under the behaviour policy,
            if left out. That of the target policy (the lower state only) makes A stable: on-policy, nothing diverges.
        gamma: Discount; 0 makes A stable too: without bootstrapping, nothing diverges.

    Returns:
        A, [8, 8].
    """
    x = features()
    often = np.full(N_STATES, 1 / N_STATES) if state_distribution is None else state_distribution
    return (x * often[:, None]).T @ (x - gamma * x[LOWER])


class Baird(TabularEnv):
    """Seven states, no reward, no end: what could go wrong?

    ## Description
    Dashed leads to one of the six upper states, all equally likely, solid to the lower one, from wherever the agent is.
    The behaviour policy takes solid with probability 1/7 (`BEHAVIOUR`), the target policy always (`TARGET`).

    ## Action Space
    `Discrete(2)`: 0 is dashed, 1 is solid.

    ## Observation Space
    `Discrete(7)`: the state, 6 being the lower one. `features()[state]` gives the book's linear features.

    ## Rewards
    Always 0.

    ## Starting State
    Any state, all equally likely.

    ## Episode End
    Never. Truncation after 1000 steps, if made by its id.

    ## Arguments
    None.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., section 11.2, figures 11.1 and 11.2; Baird (1995), Residual
    Algorithms: Reinforcement Learning with Function Approximation.
    """

    def __init__(self) -> None:
        super().__init__(baird_mdp())

    def exact_values(self) -> Floats:
        """The true value of every state [7] under any policy: 0."""
        return np.zeros(N_STATES)
