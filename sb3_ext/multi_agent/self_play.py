"""One seat of a turn-based game as a Gymnasium environment; the other seats are played by opponents.

PettingZoo's turn-based environments (AEC: agent environment cycle) ask one agent at a time. ``last()`` describes the
agent that is about to act: what it sees, and the reward since it last acted, whoever caused it. So the learner's
transition runs from its turn to its next turn, and the loser of a game learns its -1 although the winner moved last.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv

from sb3_ext.multi_agent.masking import legal_actions, without_mask
from sb3_ext.multi_agent.opponents import Opponent, as_opponent, opponent_name
from sb3_ext.multi_agent.playing import possible_agents

_MAX_DEALS = 1000  # games in a row that may end before the learner's first turn


class SelfPlayEnv(gym.Env[Any, Any]):
    """The learner's view of a PettingZoo AEC environment, for any SB3 algorithm and for MaskablePPO.

    An action mask leaves the observation and is asked for with ``action_masks()``. Without masks an illegal move counts
    as the environment says: PettingZoo's classics end the game with a penalty for the mover.

    A game that is over before the learner's first turn (everybody folds) is no episode: it is dealt again. What the
    learner is given before its first turn is added to its first reward, so that rewards add up to its return.

    The info of an episode's last step holds ``"self_play"``: ``{"seat": agent, "result": 1 | 0 | -1, "opponents":
    {agent: name}, "results": {agent: 1 | 0 | -1}}``, where a result compares the returns of the learner and of the
    opponent, and ``"result"`` the learner's with the best of the others.

    Args:
        env: An AEC environment or a function that makes one. Several copies need a function: each its own game.
        opponents: One player for all other seats (``"random"``, an SB3 model, or a function ``(observation,
            action_mask, agent, generator) -> action``), or an :class:`OpponentPool` (anything with
            ``sample(generator) -> (name, player)``), asked for a player for each seat and episode.
        seat: The learner's agent; ``"random"`` draws it for each episode, ``"alternating"`` takes turns.

    Raises:
        TypeError: If ``env`` is no AEC environment or ``opponents`` no player.
        ValueError: If there is no such seat, or if the seats that the learner takes differ in their spaces.

    Example:
        >>> import pettingzoo
        >>> env = SelfPlayEnv(pettingzoo.make("aec", "classic/tictactoe_v3"), seat="player_2")
        >>> observation, info = env.reset(seed=0)
        >>> int(observation.sum()), int(env.action_masks().sum())  # player_1 has moved
        (1, 8)
    """

    def __init__(
        self,
        env: AECEnv[Any, Any, Any] | Callable[[], AECEnv[Any, Any, Any]],
        opponents: Any = "random",
        seat: str = "random",
    ) -> None:
        self.env = env if isinstance(env, AECEnv) or not callable(env) else env()
        if not isinstance(self.env, AECEnv):
            raise TypeError(
                f"SelfPlayEnv needs a PettingZoo AEC environment or a function that makes one, got {self.env!r};"
                " convert a parallel one with pettingzoo.utils.parallel_to_aec"
            )
        self.seats = _seats(self.env, seat)
        self.seat_order = seat
        first = self.seats[0]
        self.observation_space = without_mask(self.env.observation_space(first))
        self.action_space = self.env.action_space(first)
        self.metadata = {"render_modes": [], **self.env.metadata}
        self.render_mode = getattr(self.env, "render_mode", None)
        self.opponents = opponents if hasattr(opponents, "sample") else as_opponent(opponents)
        self.seat = first
        self._players: dict[str, tuple[str, Opponent]] = {}
        self._returns: dict[str, float] = {}
        self._early_reward = 0.0
        self._mask: np.ndarray | None = None
        self._episode = 0
        self._playing = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Deals a game, seats the players, and lets the opponents move up to the learner's first turn.

        Returns:
            The observation at the learner's first turn, and the environment's info.

        Raises:
            RuntimeError: If game after game ends before that turn.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._episode = 0  # of the alternating seats
        self._take_seats()
        for _ in range(_MAX_DEALS):
            # Always a seed, and of 31 bits: hanabi draws one from the operating system when it gets none, and fails at
            # larger ones, which SB3 gives to environments that nobody seeded.
            self.env.reset(seed=int(self.np_random.integers(2**31)) if seed is None else seed % 2**31, options=options)
            seed = None
            self._returns = dict.fromkeys(self.env.possible_agents, 0.0)
            observation, self._early_reward, terminated, truncated, info = self._await_turn()
            if not (terminated or truncated):
                self._playing = True
                return observation, info
        raise RuntimeError(f"{_MAX_DEALS} games of {self.env} in a row ended before {self.seat}'s first turn")

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays the learner's action, then the opponents' until the learner's next turn or its end.

        Raises:
            RuntimeError: If the episode is over or has not begun.
        """
        if not self._playing:
            raise RuntimeError("no episode is running; call reset() first")
        self._act(self.seat, action)
        observation, reward, terminated, truncated, info = self._await_turn()
        reward += self._early_reward
        self._early_reward = 0.0
        if terminated or truncated:
            self._playing = False
            self._settle()
            info["self_play"] = self._summary()
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """The learner's legal actions, bool [n_actions], as MaskablePPO asks for them.

        Raises:
            RuntimeError: If no episode is running.
            TypeError: If actions are not Discrete.
        """
        if not self._playing:
            raise RuntimeError("there are no legal actions outside an episode; call reset() first")
        if self._mask is None:
            raise TypeError(f"action masks need Discrete actions, got {self.action_space}")
        return self._mask

    def render(self) -> Any:
        """As the inner environment does."""
        return self.env.render()

    def close(self) -> None:
        """Closes the inner environment."""
        self.env.close()

    # --- the game

    def _take_seats(self) -> None:
        """Chooses the learner's seat, and a player for each other one."""
        index = self._episode if self.seat_order == "alternating" else int(self.np_random.integers(len(self.seats)))
        self.seat = self.seats[index % len(self.seats)]
        self._episode += 1
        self._players = {agent: self._player() for agent in self.env.possible_agents if agent != self.seat}

    def _player(self) -> tuple[str, Opponent]:
        if hasattr(self.opponents, "sample"):
            return self.opponents.sample(self.np_random)
        return opponent_name(self.opponents), self.opponents

    def _await_turn(self) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Lets the others move until the learner is to act or is told its end; the learner's share of that."""
        while (agent := self.env.agent_selection) != self.seat:
            if self.seat not in self.env.agents:
                raise RuntimeError(f"{self.env} removed {self.seat} without ending its episode in last()")
            observation, reward, terminated, truncated, info = self.env.last()
            self._returns[agent] += reward
            if terminated or truncated:
                self.env.step(None)
                continue
            mask = legal_actions(observation, info, self.env.action_space(agent), agent)
            self._act(agent, self._players[agent][1](without_mask(observation), mask, agent, self.np_random))
        observation, reward, terminated, truncated, info = self.env.last()
        self._returns[self.seat] += reward
        over = terminated or truncated
        self._mask = None if over else legal_actions(observation, info, self.action_space, self.seat)
        info = {key: value for key, value in info.items() if key != "action_mask"}
        return without_mask(observation), float(reward), bool(terminated), bool(truncated), info

    def _act(self, agent: str, action: Any) -> None:
        self.env.step(int(action) if isinstance(self.env.action_space(agent), spaces.Discrete) else action)

    def _settle(self) -> None:
        """Takes the dead off the board, so that their last rewards are known, too."""
        while self.env.agents:
            agent = self.env.agent_selection
            _, reward, terminated, truncated, _ = self.env.last(observe=False)
            if not (terminated or truncated):
                return  # the game goes on without the learner
            if agent != self.seat:
                self._returns[agent] += reward
            self.env.step(None)

    def _summary(self) -> dict[str, Any]:
        own = self._returns[self.seat]
        others = {agent: self._returns[agent] for agent in self._players}
        return {
            "seat": self.seat,
            "result": int(np.sign(own - max(others.values(), default=own))),
            "opponents": {agent: name for agent, (name, _) in self._players.items()},
            "results": {agent: int(np.sign(own - return_)) for agent, return_ in others.items()},
        }


def _seats(env: AECEnv[Any, Any, Any], seat: str) -> list[str]:
    """The agents that the learner plays, which must look alike to it."""
    agents = possible_agents(env)
    if seat not in ("random", "alternating"):
        if seat not in agents:
            raise ValueError(f"there is no seat {seat!r}; choose 'random', 'alternating' or one of {agents}")
        return [seat]
    for kind, space_of in (("observation", env.observation_space), ("action", env.action_space)):
        for agent in agents[1:]:
            if space_of(agent) != space_of(agents[0]):
                raise ValueError(
                    f"one learner cannot take all seats of {env}: the {kind} space of {agents[0]} is"
                    f" {space_of(agents[0])}, of {agent} {space_of(agent)}; fix its seat, for example"
                    f" seat={agents[0]!r}, or pad the spaces with SuperSuit"
                )
    return agents
