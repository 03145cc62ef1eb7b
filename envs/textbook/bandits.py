"""Multi-armed bandits: one state, k actions, and the whole question of exploration.

Two forms of the testbed of Sutton & Barto (2nd ed., section 2.3): ``Bandit``, one bandit behind Gymnasium's interface,
and ``play_testbed``, two thousand of them as arrays, for the figures of chapter 2 (a second each):

    select = partial(epsilon_greedy, epsilon=0.1)
    run = play_testbed(select, update_estimates, np.random.default_rng(0))
    run.optimal.mean(axis=1)  # figure 2.2, lower half

Exact solution: the best arm is the one with the highest mean, and the regret of a pull is the gap to that mean, known
without noise. The learners are in ``bandit_learners.py``. Read next: ``random_walk.py``, which has more than one state.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsInt

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.envs.textbook.bandit_learners import Floats, Select, Update, blank_memory
from sb3_ext.tabular.mdp import TabularMDP


class BanditRun(NamedTuple):
    """What happened in every step of every bandit, each [n_steps, n_bandits].

    Attributes:
        reward: R_t.
        optimal: True where the arm with the highest mean was pulled.
        regret: highest mean minus the mean of the arm pulled: exact, without the rewards' noise.
    """

    reward: Floats
    optimal: NDArray[np.bool_]
    regret: Floats


def play_testbed(
    select: Select,
    update: Update,
    rng: np.random.Generator,
    n_bandits: int = 2000,
    n_steps: int = 1000,
    n_arms: int = 10,
    mean: float = 0.0,
    drift: float = 0.0,
    initial_value: float = 0.0,
) -> BanditRun:
    """Plays many bandits side by side: means drawn from N(mean, 1), rewards from N(q(a), 1) (section 2.3).

    Args:
        select: Learner's choice, e.g. ``epsilon_greedy`` (bind options with ``functools.partial``).
        update: Learner's update, ``update_estimates`` or ``update_preferences``.
        rng: Source of all random numbers.
        n_bandits: Bandits side by side (the book: 2000).
        n_steps: Pulls of each.
        n_arms: k.
        mean: Where the arms' means are centred (figure 2.5: 4).
        drift: Standard deviation of the step that every mean takes after every pull (exercise 2.5: 0.01, where all
            means start out equal, at ``mean``).
        initial_value: First estimate of every arm (figure 2.3: 5).

    Returns:
        Rewards, optimal choices and regrets.

    Raises:
        ValueError: If a number is not positive, or drift is negative.
    """
    for name, number in (("n_bandits", n_bandits), ("n_steps", n_steps), ("n_arms", n_arms)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    _check_drift(drift)
    means = mean + (rng.standard_normal((n_bandits, n_arms)) if drift == 0 else np.zeros((n_bandits, n_arms)))
    memory, everyone = blank_memory(means.shape, initial_value), np.arange(n_bandits)
    run = BanditRun(*(np.empty((n_steps, n_bandits), dtype=dtype) for dtype in (float, bool, float)))
    for t in range(n_steps):
        arms = select(memory, rng)
        chosen = means[everyone, arms]
        run.reward[t] = chosen + rng.standard_normal(n_bandits)
        run.regret[t] = means.max(axis=-1) - chosen
        run.optimal[t] = run.regret[t] == 0
        memory = update(memory, arms, run.reward[t])
        if drift:
            means += drift * rng.standard_normal(means.shape)
    return run


def _check_drift(drift: float) -> None:
    if not 0 <= drift < np.inf:
        raise ValueError(f"drift is a standard deviation: it must be finite and not negative, got {drift}")


class Bandit(gym.Env[Any, Any]):
    """One k-armed bandit, for any agent that speaks Gymnasium.

    ## Description
    Every arm pays a random reward around its mean. The means are unknown and stay as they are, or drift. Which bandit
    it is depends on ``problem`` alone, not on the seed: the bandit that an agent is evaluated on is the one it learned.

    ## Action Space
    `Discrete(k)`: the arm to pull.

    ## Observation Space
    `Discrete(1)`: always 0; a bandit has one state.

    ## Rewards
    Drawn from N(mean of the arm, 1).

    ## Starting State
    Always 0. Drifting means go on drifting from episode to episode; a reset with a seed takes them back.

    ## Episode End
    After every pull (`terminated`), or never with `endless=True`, where a time limit is up to you.

    ## Information
    `step()` returns `regret`, the exact gap between the best mean and that of the arm pulled, before the means drift.

    ## Arguments
    - `means=None`: the arms' means; by default drawn from N(0, 1).
    - `n_arms=10`: k, if `means` is not given.
    - `problem=0`: which bandit of the testbed: the seed from which the means are drawn.
    - `drift=0.0`: standard deviation of each mean's random walk, a step a pull.
    - `endless=False`: one long stream instead of episodes of one step.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., section 2.3 and figure 2.1; drift: exercise 2.5.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        means: Sequence[float] | None = None,
        n_arms: int = 10,
        problem: int = 0,
        drift: float = 0.0,
        endless: bool = False,
    ) -> None:
        if n_arms < 1:
            raise ValueError(f"n_arms must be at least 1, got {n_arms}")
        drawn = np.random.default_rng(problem).standard_normal(n_arms) if means is None else means
        self.first_means: Floats = np.array(drawn, dtype=np.float64)
        if self.first_means.ndim != 1 or self.first_means.size == 0 or not np.isfinite(self.first_means).all():
            raise ValueError(f"means must be a list of finite numbers, one for each arm, got {means}")
        _check_drift(drift)
        self.means = self.first_means.copy()
        self.drift, self.endless = drift, endless
        self.action_space = spaces.Discrete(self.means.size)
        self.observation_space = spaces.Discrete(1)
        self._mdp: TabularMDP | None = None  # built when it is asked for

    @property
    def mdp(self) -> TabularMDP:
        """The bandit as an MDP of one state, its rewards being the means; each pull ends the episode unless endless.

        Raises:
            ValueError: If the means drift, for then no table holds.
        """
        if self.drift:
            raise ValueError(f"a bandit with drift {self.drift} is no fixed MDP; env.means has the present means")
        if self._mdp is None or not np.array_equal(self._mdp.reward[0, :, 0], self.means):
            moves = np.zeros((1, self.means.size), dtype=int)
            self._mdp = TabularMDP.from_arrays(moves, self.means[None].copy(), not self.endless)
        return self._mdp

    def exact_values(self) -> Floats:
        """v* of the one state, [1]: what a pull of the best arm pays on average, as the means are now."""
        return self.means.max(keepdims=True)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begins an episode; a seed also takes drifting means back to where they began."""
        super().reset(seed=seed)
        if seed is not None:
            self.means = self.first_means.copy()
        return 0, {}

    def step(self, action: SupportsInt) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Pulls an arm.

        Raises:
            ValueError: If there is no such arm.
        """
        arm = int(action)
        if not 0 <= arm < self.means.size:
            raise ValueError(f"the arms are 0 to {self.means.size - 1}, got {arm}")
        chosen = self.means[arm]
        reward = float(chosen + self.np_random.standard_normal())
        regret = float(self.means.max() - chosen)
        if self.drift:
            self.means += self.drift * self.np_random.standard_normal(self.means.size)
        return 0, reward, not self.endless, False, {"regret": regret}
