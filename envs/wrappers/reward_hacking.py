"""Reward hacking: an agent does what the reward says, not what was meant.

The world is a corridor with a goal at its end. To help the agent, somebody adds a bonus for every step towards the
goal, and forgets to charge for the steps back. So the best policy is to walk up to the goal and then, in front of it,
to step back and forth for ever: that earns a bonus at every other step, and arriving would end the income. The raw
return, which says what was meant, falls while the shaped return rises. Potential-based shaping charges for the way
back and cannot be farmed. ``compare_optimal_actions`` proves both on ``RewardHacking().mdp``; ``reward_hacking_figure``
shows both on an agent.

The same happened to a boat in a racing game, which circled to collect targets (Clark & Amodei 2016, "Faulty reward
functions in the wild").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit
from matplotlib.figure import Figure
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext.envs.wrappers.reward_terms import RETURN_KEYS, RewardTerms
from sb3_ext.envs.wrappers.shaping import PotentialShaping
from sb3_ext.tabular.mdp import TabularMDP

BONUS = 0.2
GAMMA = 0.99
TIME_LIMIT = 50  # steps


class RewardHacking(gym.Env[Any, Any]):
    """A corridor that pays 1 at its end, and nothing before.

    ## Description
    Cells 0 .. n_cells - 1 in a row; the agent starts in cell 0.

    ## Action Space
    Discrete(2): 0 is left, 1 is right. At the left end, left has no effect.

    ## Observation Space
    Discrete(n_cells): the cell.

    ## Rewards
    1 on reaching the last cell, 0 otherwise.

    ## Episode End
    Terminated at the last cell. There is no time limit inside; ``sb3_ext/RewardHacking-v0`` has one of 50 steps.

    Args:
        n_cells: Length of the corridor, at least 2.

    Raises:
        ValueError: If ``n_cells`` is below 2.
    """

    metadata = {"render_modes": []}

    def __init__(self, n_cells: int = 8) -> None:
        if n_cells < 2:
            raise ValueError(f"n_cells must be at least 2 (start and goal), got {n_cells}")
        self.n_cells = n_cells
        self.observation_space = spaces.Discrete(n_cells)
        self.action_space = spaces.Discrete(2)
        cells = np.arange(n_cells)
        next_state = np.stack([np.maximum(cells - 1, 0), np.minimum(cells + 1, n_cells - 1)], axis=1)
        at_goal = next_state == n_cells - 1
        self.mdp = TabularMDP.from_arrays(next_state, at_goal.astype(float), at_goal, start=np.eye(n_cells)[0])
        self.state: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Starts in cell 0."""
        super().reset(seed=seed)
        self.state = 0
        return self.state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Steps left (0) or right (1).

        Raises:
            ValueError: If the action is none.
            RuntimeError: If called before ``reset``.
        """
        if self.state is None:
            raise RuntimeError("call reset() before step()")
        if int(action) not in (0, 1):
            raise ValueError(f"the actions are 0 to 1, got {action}")
        self.state = int(np.clip(self.state + 2 * int(action) - 1, 0, self.n_cells - 1))
        terminated = self.state == self.n_cells - 1
        return self.state, float(terminated), terminated, False, {"is_success": terminated}


class ForgetfulProgress(RewardTerms):
    """The flawed shaping: ``bonus`` for every step nearer to the goal, nothing for a step away from it.

    Args:
        env: A ``RewardHacking`` corridor, the goal of which is its last cell.
        bonus: Reward of a step forth.
    """

    term_name = "forgetful_progress"

    def __init__(self, env: gym.Env[Any, Any], bonus: float = BONUS) -> None:
        RecordConstructorArgs.__init__(self, bonus=bonus)
        super().__init__(env)
        self.bonus = bonus

    def begin(self, observation: Any, seed: int | None) -> None:
        """The first cell."""
        self._last = int(observation)

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """Bonus if the cell's number has grown."""
        last, self._last = self._last, int(observation)
        return self.bonus * max(0, self._last - last)


def hacked_mdp(mdp: TabularMDP, bonus: float = BONUS) -> TabularMDP:
    """The corridor's model with the rewards of ``ForgetfulProgress``."""
    forth = np.maximum(0, mdp.next_state - np.arange(mdp.n_states)[:, None, None])
    return replace(mdp, reward=mdp.reward + bonus * forth)


def forgetful_corridor() -> gym.Env[Any, Any]:
    """The corridor with the shaping that can be farmed."""
    return ForgetfulProgress(TimeLimit(RewardHacking(), TIME_LIMIT))


def potential_corridor() -> gym.Env[Any, Any]:
    """The corridor with the same bonus as a potential."""
    return PotentialShaping(TimeLimit(RewardHacking(), TIME_LIMIT), "distance", GAMMA, scale=BONUS)


@dataclass(frozen=True)
class TrainingReturns:
    """Returns of the episodes of a training, in the order in which they ended.

    Attributes:
        timesteps: [n], environment steps so far.
        raw: [n], undiscounted sums of the raw reward.
        shaped: [n], undiscounted sums of the reward that the agent was given.
    """

    timesteps: npt.NDArray[np.int64]
    raw: npt.NDArray[np.float64]
    shaped: npt.NDArray[np.float64]


class _Recorder(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[float, ...]] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if RETURN_KEYS[0] in info:
                self.rows.append((self.num_timesteps, *(info[key] for key in RETURN_KEYS)))
        return True


def train_and_record(make_env: Callable[[], gym.Env[Any, Any]], timesteps: int, seed: int) -> TrainingReturns:
    """Trains SB3's PPO on eight environments and records raw and shaped return of each episode.

    Args:
        make_env: Makes an environment in which the outermost reward wrapper is a ``RewardTerms``.
        timesteps: Steps of all environments together.
        seed: Of agent and environments.
    """
    env = make_vec_env(make_env, n_envs=8, seed=seed)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=128, gamma=GAMMA, learning_rate=1e-3, ent_coef=0.01,
                seed=seed, device="cpu")  # fmt: skip
    recorder = _Recorder()
    model.learn(timesteps, callback=recorder)
    rows = np.array(recorder.rows)
    return TrainingReturns(rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2])


def plot_returns(trainings: Mapping[str, TrainingReturns], window: int = 40) -> Figure:
    """Raw beside shaped return over a training, a panel for each.

    Args:
        trainings: Title -> returns.
        window: Episodes in the moving average.

    Returns:
        A Matplotlib figure; ``figure.savefig(path)`` writes it.
    """
    figure = Figure(figsize=(4.6 * len(trainings), 3.6), layout="constrained")
    panels = figure.subplots(1, len(trainings), sharey=True, squeeze=False)[0]
    for panel, (title, returns) in zip(panels, trainings.items(), strict=True):
        steps = _moving_average(returns.timesteps, window)
        panel.plot(
            steps, _moving_average(returns.shaped, window), color="#D55E00", label="shaped return: what it is paid"
        )
        panel.plot(steps, _moving_average(returns.raw, window), color="#0072B2", label="raw return: what was meant")
        panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        panel.set(title=title, xlabel="environment steps")
        panel.locator_params(axis="x", nbins=5)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"return of an episode\n(mean of {window})")
    panels[0].legend(frameon=False, loc="best")
    return figure


def reward_hacking_figure(timesteps: int = 12_000, seed: int = 0) -> Figure:
    """Trains PPO under the flawed and under the sound shaping, and draws both (about ten seconds)."""
    return plot_returns(
        {
            "Bonus for each step forth": train_and_record(forgetful_corridor, timesteps, seed),
            "The same as a potential": train_and_record(potential_corridor, timesteps, seed),
        }
    )


def _moving_average(values: npt.NDArray[Any], window: int) -> npt.NDArray[np.float64]:
    width = min(window, len(values))
    return np.convolve(values, np.ones(width) / width, mode="valid")
