"""Games that are one table: all choose at once, and each gets what the table says.

What theory says of them is in ``equilibria.py``: where play may come to rest (Nash equilibria), and where it does not.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt
from gymnasium import logger, spaces
from pettingzoo import ParallelEnv

from sb3_ext.envs.multi.equilibria import check_payoffs
from sb3_ext.envs.multi.joint_model import joint_index


class NamedGame(NamedTuple):
    """A game of two players."""

    about: str
    actions: tuple[str, ...]
    first: list[list[float]]
    """what the first player gets, [A, A]"""
    second: list[list[float]] | None = None
    """what the second one gets; None: the same with the players exchanged"""

    @property
    def payoffs(self) -> npt.NDArray[np.float64]:
        """[2, A, A]."""
        return np.array(
            [self.first, np.transpose(self.first) if self.second is None else self.second], dtype=np.float64
        )


GAMES = {
    "prisoners_dilemma": NamedGame(
        "Defecting is better whatever the other does, and worse for both: (defect, defect) is the one equilibrium.",
        ("cooperate", "defect"),
        [[3, 0], [5, 1]],
    ),
    "stag_hunt": NamedGame(
        "Two pure equilibria: the stag pays more, the hare is safe, and best unless the other hunts the stag with "
        "probability above 3/4.",
        ("stag", "hare"),
        [[4, 0], [3, 3]],
    ),
    "chicken": NamedGame(
        "Whoever swerves loses face; if none does, both lose more: two pure equilibria, in which just one swerves, and "
        "a mixed one at 1/2.",
        ("swerve", "dare"),
        [[3, 1], [4, 0]],
    ),
    "battle_of_the_sexes": NamedGame(
        "Better together, but where? Two pure equilibria, and a mixed one at (2/3, 1/3) that is worse than both.",
        ("opera", "football"),
        [[2, 0], [0, 1]],
        [[1, 0], [0, 2]],
    ),
    "matching_pennies": NamedGame(
        "One wants the coins to match, the other not: zero-sum, no pure equilibrium, the mixed one is at 1/2.",
        ("heads", "tails"),
        [[1, -1], [-1, 1]],
        [[-1, 1], [1, -1]],
    ),
    "rock_paper_scissors": NamedGame(
        "Zero-sum, no pure equilibrium, the mixed one is at 1/3: whoever learns runs after the other one in circles.",
        ("rock", "paper", "scissors"),
        [[0, -1, 1], [1, 0, -1], [-1, 1, 0]],
    ),
}
"""The games of the textbooks, by name."""


class MatrixGame(ParallelEnv[str, np.int64, int]):
    """A table of payoffs, played for one round or several.

    ## Description
    In each round all players choose an action at once, and each gets what the table says for their joint action.

    ## Action Space
    `Discrete(A_i)` for player i: as many actions as the table has.

    ## Observation Space
    `Discrete(1)`, always 0: each player faces a bandit. With `observe_last`, `Discrete(1 + A_0 * ... * A_n-1)`: 0 in
    the first round, later 1 + the last joint action (the last player's counting fastest), the same for all.

    ## Rewards
    The payoffs.

    ## Starting State
    Always the same.

    ## Episode End
    - Termination: after `n_rounds` rounds. That is the end of the game and no time limit: nothing follows that a
      learner should estimate.

    ## Arguments
    - `game="prisoners_dilemma"`: a name in `GAMES`, or payoffs `[n, A_0, ..., A_n-1]`: for two players, a table of what
      the first one gets and one of what the second one gets.
    - `n_rounds=1`: rounds in an episode.
    - `observe_last=False`: whether the players see what was played in the round before.
    - `render_mode=None`: or `"ansi"`, a line on the last round.

    A `ValueError` says what is wrong with the payoffs.

    ## Version
    v0

    Attributes:
        payoffs: [n, A_0, ..., A_n-1].

    Example:
        >>> game = MatrixGame("stag_hunt", render_mode="ansi")
        >>> observations, infos = game.reset()
        >>> game.step({"player_0": 0, "player_1": 1})[1]
        {'player_0': 0.0, 'player_1': 3.0}
        >>> game.render()
        'player_0: stag (0), player_1: hare (3)'
    """

    metadata: dict[str, Any] = {"name": "matrix_game_v0", "render_modes": ["ansi"], "is_parallelizable": True}

    def __init__(
        self,
        game: str | npt.ArrayLike = "prisoners_dilemma",
        n_rounds: int = 1,
        observe_last: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if isinstance(game, str) and game not in GAMES:
            raise ValueError(f"there is no game {game!r}; choose one of {', '.join(GAMES)}, or give payoffs")
        if isinstance(n_rounds, bool) or not isinstance(n_rounds, int | np.integer) or n_rounds < 1:
            raise ValueError(f"n_rounds must be a whole number from 1, got {n_rounds!r}")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode must be None or 'ansi', got {render_mode!r}")
        self.payoffs = GAMES[game].payoffs if isinstance(game, str) else check_payoffs(game)
        self.n_rounds, self.observe_last, self.render_mode = int(n_rounds), observe_last, render_mode
        self.possible_agents = [f"player_{i}" for i in range(len(self.payoffs))]
        self.agents: list[str] = []
        self._action_names = GAMES[game].actions if isinstance(game, str) else None
        self._n_actions = dict(zip(self.possible_agents, self.payoffs.shape[1:], strict=True))
        self._table = self.payoffs.reshape(len(self.payoffs), -1)  # [n, joint actions]
        n_observations = 1 + self._table.shape[1] if observe_last else 1
        self._observation_spaces = {agent: spaces.Discrete(n_observations) for agent in self.possible_agents}
        self._action_spaces = {agent: spaces.Discrete(n) for agent, n in self._n_actions.items()}
        self._last: int | None = None
        self._n_played = 0

    def observation_space(self, agent: str) -> spaces.Discrete:
        """Nothing, or the last joint action."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The player's actions."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.int64], dict[str, dict[str, Any]]]:
        """Begins a game; nothing in it is random."""
        self.agents = self.possible_agents[:]
        self._last, self._n_played = None, 0
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, SupportsIndex]
    ) -> tuple[dict[str, np.int64], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Plays a round.

        Raises:
            ValueError: If a player's action is missing or none.
            RuntimeError: If called before ``reset`` or after the end.
        """
        if not self.agents:
            raise RuntimeError("call reset() before step()")
        self._last = joint_index(actions, self._n_actions)
        self._n_played += 1
        agents, terminated = self.possible_agents, self._n_played >= self.n_rounds
        rewards = dict(zip(agents, self._table[:, self._last].tolist(), strict=True))
        if terminated:
            self.agents = []
        ended, cut = dict.fromkeys(agents, terminated), dict.fromkeys(agents, False)
        return self._observations(), rewards, ended, cut, {agent: {} for agent in agents}

    def render(self) -> str | None:
        """The last round, as text."""
        if self.render_mode is None:
            logger.warn("render() needs a render_mode: MatrixGame(..., render_mode='ansi')")
            return None
        if self._last is None:
            return "nothing played yet"
        actions = np.unravel_index(self._last, self.payoffs.shape[1:])
        names = [str(action) if self._action_names is None else self._action_names[action] for action in actions]
        played = zip(self.possible_agents, names, self._table[:, self._last], strict=True)
        return ", ".join(f"{agent}: {name} ({payoff:g})" for agent, name, payoff in played)

    def close(self) -> None:
        """There is nothing to close."""

    def _observations(self) -> dict[str, np.int64]:
        seen = 0 if self._last is None or not self.observe_last else 1 + self._last
        return dict.fromkeys(self.possible_agents, np.int64(seen))
