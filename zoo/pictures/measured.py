"""What the pictures show: snapshots of a training, trainings on the cliff, rates and discounts, exact returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.tabular import SARSA, QLearning, Sweep, TabularMDP, TabularPolicy, sweep
from sb3_ext.tabular.parameters import whole_number

Floats = npt.NDArray[np.float64]
Env = gym.Env[Any, Any] | str

LEARNING_RATES: tuple[float | str, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, "lin_1/N^0.5")
DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
CLIFF: dict[str, Any] = {"learning_rate": 0.5, "exploration": 0.1, "initial_value": 0.0, "gamma": 1.0}  # of Example 6.6


class TableSnapshots(BaseCallback):
    """Copies the table of a tabular algorithm at given points of its training; it sleeps between them.

    The compiled engine plays on while it sleeps (``callback_schedule.py``), and learns what it would without it.

    Args:
        at: Environment steps; 0 is before anything is learned. With several environments, the first step at or after
            each; what a training does not come to is left out.

    Attributes:
        tables: Environment steps -> Q(s, a) [S, A], in this order. A training that begins at 0 begins it anew.

    Raises:
        ValueError: If ``at`` is empty or has a number below 0; when training starts, if the algorithm has no table.

    Example:
        >>> snapshots = TableSnapshots([0, 100])
        >>> _ = QLearning("TabularPolicy", "FrozenLake-v1", engine="step", seed=0).learn(150, snapshots)
        >>> list(snapshots.tables), snapshots.tables[100].shape
        ([0, 100], (16, 4))
    """

    def __init__(self, at: Sequence[int]) -> None:
        super().__init__()
        self.at = sorted({whole_number("at", timestep, at_least=0) for timestep in at})
        if not self.at:
            raise ValueError("at must name at least one time step, got none")
        self.tables: dict[int, Floats] = {}
        self._left: list[int] = []

    def calls_until_due(self) -> float:
        """After how many further calls it must be called."""
        if not self._left:
            return math.inf
        return max(-(-(self._left[0] - self.model.num_timesteps) // self.training_env.num_envs), 1)

    def _on_training_start(self) -> None:
        if not isinstance(self.model.policy, TabularPolicy):
            raise ValueError(f"TableSnapshots needs a tabular algorithm, {type(self.model).__name__} has no table")
        if self.model.num_timesteps == 0:
            self.tables = {}
        self._left = [timestep for timestep in self.at if timestep >= self.model.num_timesteps]
        self._take()

    def _on_step(self) -> bool:
        self._take()
        return True

    def _take(self) -> None:
        now = self.model.num_timesteps
        if self._left and self._left[0] <= now:
            policy = self.model.policy
            assert isinstance(policy, TabularPolicy)
            self.tables[now] = policy.q_table
            self._left = [timestep for timestep in self._left if timestep > now]


def greedy_policy(q_tables: npt.ArrayLike) -> Floats:
    """Pi(a | s) [..., S, A] that takes the best action; where several are equally good, to the last bit, each alike.

    Example:
        >>> greedy_policy([[0.0, 1.0], [1.0, 1.0]])
        array([[0. , 1. ],
               [0.5, 0.5]])
    """
    array = np.asarray(q_tables, dtype=np.float64)
    best = array == array.max(axis=-1, keepdims=True)
    return best / best.sum(axis=-1, keepdims=True)


def return_within(mdp: TabularMDP, n_steps: int, policies: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
    """The expected undiscounted return of an episode that is cut off after ``n_steps``, exactly.

    Dynamic programming backwards, from no steps left to all: v_k(s) = sum_a pi(a|s) sum p(s', r | s, a) [r + v_j(s')],
    j = k - 1. Where success is worth 1 and nothing else is rewarded, as on FrozenLake, it is the success rate.

    Args:
        mdp: The world.
        n_steps: Its time limit, at least 0.
        policies: Probabilities [..., S, A]; None is the best one, which may look at the time left.

    Returns:
        [...], a number for each policy.

    Raises:
        ValueError: If the policies do not fit the world.

    Example:
        >>> mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
        >>> uniform = np.full((16, 4), 0.25)
        >>> round(float(return_within(mdp, 100)), 4), round(float(return_within(mdp, 100, uniform)), 4)
        (0.7442, 0.0139)
    """
    chances = None if policies is None else np.asarray(policies, dtype=np.float64)
    if chances is not None and chances.shape[-2:] != (mdp.n_states, mdp.n_actions):
        raise ValueError(f"policies must be [..., {mdp.n_states}, {mdp.n_actions}], got {list(chances.shape)}")
    going_on = mdp.probability * ~mdp.terminated
    values = np.zeros((() if chances is None else chances.shape[:-2]) + (mdp.n_states,))
    for _ in range(whole_number("n_steps", n_steps, at_least=0)):
        q_values = mdp.expected_reward + (going_on * values[..., mdp.next_state]).sum(axis=-1)
        values = q_values.max(axis=-1) if chances is None else (chances * q_values).sum(axis=-1)
    return values @ mdp.start


def cliff_runs(n_runs: int = 100, n_episodes: int = 500, n_threads: int | None = None) -> dict[str, Sweep]:
    """SARSA and Q-learning on CliffWalking-v1 as in Example 6.6: alpha 0.5, epsilon 0.1, Q = 0 at first.

    Args:
        n_runs: Seeds of each: 0, 1, ...
        n_episodes: Episodes of each.
        n_threads: Runs at the same time; by default as many as there are CPUs.
    """
    run: dict[str, Any] = {"seeds": n_runs, "n_episodes": n_episodes, "n_threads": n_threads, "progress_bar": False}
    return {
        name: sweep(algorithm, "CliffWalking-v1", **run, **CLIFF)
        for name, algorithm in (("SARSA", SARSA), ("Q-learning", QLearning))
    }


@dataclass(frozen=True)
class Comparison:
    """What the values of a hyperparameter are worth.

    Attributes:
        values: Those tried, [C].
        rates: Success rate of what each seed learned, exact, [C, N].
    """

    values: list[float | str]
    rates: Floats


def learning_rates_and_discounts(
    n_seeds: int = 20, total_timesteps: int = 100_000, n_threads: int | None = None
) -> dict[str, Comparison]:
    """Q-learning on FrozenLake-v1 (slippery) with several learning rates, then with several discounts.

    All else is as ``QLearning`` has it by default. Rates are those of the greedy policies within 100 steps.

    Args:
        n_seeds: Seeds 0, 1, ...
        total_timesteps: Of each run.
        n_threads: Runs at the same time; by default as many as there are CPUs.
    """
    grids: dict[str, list[Any]] = {"learning_rate": list(LEARNING_RATES), "gamma": list(DISCOUNTS)}
    mdp, compared = TabularMDP.from_env(gym.make("FrozenLake-v1")), {}
    for name, values in grids.items():
        runs = sweep(
            QLearning, "FrozenLake-v1", {name: values}, seeds=n_seeds, total_timesteps=total_timesteps,
            n_threads=n_threads, progress_bar=False,
        )  # fmt: skip
        compared[name] = Comparison(values, return_within(mdp, 100, greedy_policy(runs.q_tables)))
    return compared
