"""Self-play on many boards at once: what ``SelfPlayEnv`` is for one game, as a vector environment of SB3.

All boards take their moves together, and an opponent that sits at several of them is asked once for all: one forward
pass of a network costs about the same for one board as for a hundred.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ext.multi_agent.opponents import ModelOpponent, Opponent, as_opponent, opponent_name


class BoardGames(Protocol):
    """Boards of a game for two that move in turn, such as ``sb3_ext.envs.multi.line_games.LineGames``.

    ``boards`` are the numbers of different boards [n], ``player`` is 0 or 1 for each of them.
    """

    n_boards: int
    agents: list[str]
    observation_space: spaces.Space[Any]
    action_space: spaces.Discrete
    mover: np.ndarray
    """Whose turn it is on each board, 0 or 1."""

    def reset(self, boards: np.ndarray) -> None:
        """Begins a game on these boards."""

    def observe(self, boards: np.ndarray, player: np.ndarray) -> np.ndarray:
        """What the player sees, [n, ...]."""

    def legal(self, boards: np.ndarray) -> np.ndarray:
        """The mover's legal actions, bool [n, n_actions]."""

    def play(self, boards: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Makes a move; returns whether the game is over [n], and what that brings both players [n, 2]."""


class SelfPlayVecEnv(VecEnv):
    """The learner's seat on each board; opponents move within ``step``.

    Rewards, masks and the info ``"self_play"`` are as in ``SelfPlayEnv``, so that ``SelfPlayCallback`` and MaskablePPO
    take both. Infos hold what SB3's Monitor reports.

    Args:
        games: The boards.
        opponents: As in ``SelfPlayEnv``.
        seat: The learner's: ``"random"``, ``"alternating"`` or an agent's name.
        seed: Of all randomness.
        random_opening: Games begin with 0 to so many random moves, drawn anew for each. Without them strong players
            come to play a few games over and over, and forget the others.

    Raises:
        ValueError: If there is no such seat, or for a negative ``random_opening``.
        TypeError: If ``opponents`` is no player.

    Example:
        >>> from sb3_ext.envs.multi.line_games import tic_tac_toe
        >>> env = SelfPlayVecEnv(tic_tac_toe(64), seat="player_2", seed=0)
        >>> env.reset().sum(axis=(1, 2, 3)).tolist() == [1] * 64  # the opponents have moved
        True
    """

    def __init__(
        self,
        games: BoardGames,
        opponents: Any = "random",
        seat: str = "random",
        seed: int | None = None,
        random_opening: int = 0,
    ) -> None:
        if seat not in ("random", "alternating", *games.agents):
            raise ValueError(f"there is no seat {seat!r}; choose 'random', 'alternating' or one of {games.agents}")
        if random_opening < 0:
            raise ValueError(f"random_opening must be at least 0, got {random_opening}")
        self.games = games
        self.random_opening = random_opening
        self.opponents = opponents if hasattr(opponents, "sample") else as_opponent(opponents)
        self.seat_order = seat
        self.render_mode = None
        super().__init__(games.n_boards, games.observation_space, games.action_space)
        self._all = np.arange(games.n_boards)
        self._seats = self._all % 2
        self._players: list[tuple[str, Opponent]] = []
        self._lengths = np.zeros(games.n_boards, dtype=np.int64)
        self._generator = np.random.default_rng(seed)
        self._made_at = time.time()

    def reset(self) -> VecEnvObs:
        """Begins a game on every board; observations [n_boards, ...] at the learner's first turn."""
        if self._seeds[0] is not None:
            self._generator = np.random.default_rng(self._seeds[0])
        self._reset_seeds()
        self._players = [("", as_opponent("random"))] * self.num_envs
        self._seats = self._all % 2  # of the alternating ones
        self._deal(self._all)
        self._answer()
        return self._observe(self._all)

    def step_async(self, actions: np.ndarray) -> None:
        """Hands over one action for each board.

        Raises:
            ValueError: If the number of actions is another.
        """
        self._actions = np.asarray(actions).reshape(-1)
        if len(self._actions) != self.num_envs:
            raise ValueError(f"got {len(self._actions)} actions for {self.num_envs} boards")

    def step_wait(self) -> VecEnvStepReturn:
        """Plays the learner's actions and the opponents' up to the learner's next turn."""
        self._rewards = np.zeros(self.num_envs, dtype=np.float32)
        self._dones = np.zeros(self.num_envs, dtype=np.bool_)
        self._infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in self._all]
        self._lengths += 1
        self._move(self._all, self._actions)
        self._answer()
        return self._observe(self._all), self._rewards, self._dones, self._infos

    def action_masks(self) -> np.ndarray:
        """The learner's legal actions, bool [n_boards, n_actions]."""
        return self.games.legal(self._all)

    # --- the games

    def _deal(self, boards: np.ndarray) -> None:
        self._open(boards)
        self._lengths[boards] = 0
        if self.seat_order == "random":
            self._seats[boards] = self._generator.integers(2, size=len(boards))
        elif self.seat_order == "alternating":
            self._seats[boards] = 1 - self._seats[boards]
        else:
            self._seats[boards] = self.games.agents.index(self.seat_order)
        for board in boards.tolist():
            self._players[board] = self._player()

    def _open(self, boards: np.ndarray) -> None:
        """Begins games with some random moves; anew where these end the game."""
        self.games.reset(boards)
        if not self.random_opening:
            return
        n_moves = self._generator.integers(self.random_opening + 1, size=len(boards))
        for i in range(self.random_opening):
            moving = boards[n_moves > i]
            legal = self.games.legal(moving)
            actions = np.argmax(legal * self._generator.random(legal.shape), axis=1)
            over, _ = self.games.play(moving, actions)
            self.games.reset(moving[over])

    def _player(self) -> tuple[str, Opponent]:
        if hasattr(self.opponents, "sample"):
            return self.opponents.sample(self._generator)
        return opponent_name(self.opponents), self.opponents

    def _answer(self) -> None:
        """Lets opponents move until it is the learner's turn everywhere."""
        while len(waiting := np.flatnonzero(self.games.mover != self._seats)):
            self._move(waiting, self._replies(waiting))

    def _replies(self, boards: np.ndarray) -> np.ndarray:
        movers = self.games.mover[boards]
        observations, masks = self.games.observe(boards, movers), self.games.legal(boards)
        actions = np.zeros(len(boards), dtype=np.intp)
        sitting: dict[int, list[int]] = {}
        for place, board in enumerate(boards.tolist()):
            sitting.setdefault(id(self._players[board][1]), []).append(place)
        for places in sitting.values():
            player = self._players[boards[places[0]]][1]
            if isinstance(player, ModelOpponent):
                actions[places] = player(observations[places], masks[places], "", self._generator)
            else:
                for place in places:
                    agent = self.games.agents[movers[place]]
                    actions[place] = player(observations[place], masks[place], agent, self._generator)
        return actions

    def _move(self, boards: np.ndarray, actions: np.ndarray) -> None:
        over, rewards = self.games.play(boards, actions)
        played = self._lengths[boards] > 0  # else the opponent won from the random opening: no game for the learner
        if (over & played).any():
            self._finish(boards[over & played], rewards[over & played])
        if (over & ~played).any():
            self._deal(boards[over & ~played])

    def _finish(self, boards: np.ndarray, rewards: np.ndarray) -> None:
        """Reports games that are over, and deals the next ones."""
        observations = self._observe(boards)
        seconds = round(time.time() - self._made_at, 6)
        for board, observation, both in zip(boards.tolist(), observations, rewards, strict=True):
            seat = self._seats[board]
            result, other = int(np.sign(both[seat] - both[1 - seat])), self.games.agents[1 - seat]
            self._infos[board] |= {
                "terminal_observation": observation,
                "episode": {"r": float(both[seat]), "l": int(self._lengths[board]), "t": seconds},
                "self_play": {
                    "seat": self.games.agents[seat],
                    "result": result,
                    "opponents": {other: self._players[board][0]},
                    "results": {other: result},
                },
            }
            self._rewards[board] = both[seat]
        self._dones[boards] = True
        self._deal(boards)

    def _observe(self, boards: np.ndarray) -> np.ndarray:
        return self.games.observe(boards, self._seats[boards])

    # --- what SB3 asks of a vector environment

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute, which all boards share."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets the attribute, which all boards share."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any):
        """Calls a method once; ``action_masks`` gives each board its own."""
        rows = list(self._get_indices(indices))
        result = getattr(self, method_name)(*method_args, **method_kwargs)
        return [result[row] for row in rows] if method_name == "action_masks" else [result] * len(rows)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Monitor always, since the infos hold what it would report."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """None: the boards draw nothing."""
        return [None] * self.num_envs

    def close(self) -> None:
        """There is nothing to close."""
