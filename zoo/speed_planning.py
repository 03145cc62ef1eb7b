"""Measurements of exact planning, for ``sb3-ext speed planning``.

The task is a slippery grid: from one corner to the opposite one, slip 0.1 to each side, -0.01 a step, gamma = 0.999;
all values and the policy to 1e-6. It is compared with QuantEcon's ``DiscreteDP``, which stops by the same guarantee: of
its methods the fastest counts. Compiling is not timed, nor is writing down the world as either wants it; sorting the
states, which our sweeps need, is.
"""

import math
import subprocess
import sys
import time
from functools import cache
from typing import Any

import numpy as np

from sb3_ext.tabular import TabularMDP

SIDE, BIG_SIDE = 300, 1000  # cells: 90,000 and 1,000,000 states
GAMMA, TOLERANCE = 0.999, 1e-6
QUANTECON_METHODS: tuple[tuple[str, dict[str, int]], ...] = (
    ("value_iteration", {}),
    ("modified_policy_iteration", {"k": 20}),  # its default
    ("modified_policy_iteration", {"k": 40}),
    ("modified_policy_iteration", {"k": 60}),
)  # policy_iteration solves sparse systems directly: it had not finished after ten minutes
IN_A_PROCESS = """
import resource, sys, time
from sb3_ext.zoo import speed_planning
mdp = speed_planning.slippery_grid({side})
started = time.perf_counter()
speed_planning.solve(mdp)
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)
"""


@cache
def slippery_grid(side: int) -> TabularMDP:
    """From the upper left corner to the lower right one, without obstacles; side * side states."""
    from sb3_ext.envs import GridWorld

    rows = ["." * side] * side
    rows[0], rows[-1] = "S" + rows[0][1:], rows[-1][1:] + "G"
    return GridWorld(rows, slip=0.2, step_reward=-0.01).mdp


def solve(mdp: TabularMDP) -> Any:
    """Our fastest way."""
    from sb3_ext.tabular.planning import modified_policy_iteration

    return modified_policy_iteration(mdp, GAMMA, TOLERANCE)


def planning_seconds(side: int = SIDE) -> float:
    """From the model to values and policy."""
    mdp = slippery_grid(side)
    solve(slippery_grid(3))  # compiles, or loads what was compiled
    started = time.perf_counter()
    solve(mdp)
    return time.perf_counter() - started


@cache
def quantecon_problem(side: int) -> Any:
    """The same world as a ``DiscreteDP`` over state-action pairs with sparse transitions; state S is the end."""
    from quantecon.markov import DiscreteDP
    from scipy.sparse import csr_matrix

    mdp = slippery_grid(side)
    n_states, n_pairs = mdp.n_states, mdp.n_states * mdp.n_actions
    rows = np.append(np.repeat(np.arange(n_pairs), mdp.n_outcomes), n_pairs)
    columns = np.append(np.where(mdp.terminated, n_states, mdp.next_state).ravel(), n_states)
    transitions = csr_matrix(
        (np.append(mdp.probability.ravel(), 1.0), (rows, columns)), shape=(n_pairs + 1, n_states + 1)
    )
    states = np.append(np.repeat(np.arange(n_states), mdp.n_actions), n_states)
    actions = np.append(np.tile(np.arange(mdp.n_actions), n_states), 0)
    return DiscreteDP(np.append(mdp.expected_reward.ravel(), 0.0), transitions, GAMMA, states, actions)


def quantecon_seconds(side: int = SIDE) -> float:
    """Of its fastest method; not a number where QuantEcon is not installed."""
    try:
        problem = quantecon_problem(side)
    except ImportError:
        return math.nan
    quantecon_problem(3).solve("modified_policy_iteration", epsilon=TOLERANCE)  # compiles
    return min(_quantecon_seconds(problem, method, options) for method, options in QUANTECON_METHODS)


def _quantecon_seconds(problem: Any, method: str, options: dict[str, int]) -> float:
    started = time.perf_counter()
    problem.solve(method, epsilon=TOLERANCE, max_iter=1_000_000, **options)
    return time.perf_counter() - started


def seconds_and_megabytes(side: int = BIG_SIDE) -> tuple[float, float]:
    """Seconds of planning and the peak memory of a whole fresh process: Python, the libraries, the world, planning."""
    finished = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS.format(side=side)], capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, finished.stdout.split())
    return seconds, megabytes
