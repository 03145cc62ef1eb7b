"""Games of agents that move at once in one world, all of which they see: PettingZoo's interface over an exact model.

The model is a ``TabularMDP`` over joint states and joint actions; a step of the environment is a look-up in it. For
agents that share their reward its solution (``value_iteration``) is the best that they can do together; for two sides
with opposite rewards it is a Markov game, which ``shapley.py`` solves.
"""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
from gymnasium import logger, spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.multi.board import N_ACTIONS
from sb3_ext.envs.multi.drawing import Piece, draw_pieces, write_pieces
from sb3_ext.envs.multi.joint_model import can_end, joint_index
from sb3_ext.tabular.mdp import TabularMDP


class JointGame(ParallelEnv[str, np.int64, int]):
    """Agents on one map that move at once; each sees the joint state, a number.

    A game is a model and ``_pieces``, which says what is to be drawn.

    Attributes:
        mdp: The exact model: joint states, joint actions, and the reward of the first agent.
        state_index: The joint state at present; -1 before the first reset.
        state_space: Of ``state()``, which is what every agent observes.

    Args:
        mdp: Its actions are those of all agents, the last agent's counting fastest: a_0 * 5 + a_1 for two.
        agents: Their names.
        signs: What the reward of ``mdp`` is multiplied by for each agent.
        grid_map: What the picture shows beside the pieces.
        max_steps: The time limit, in steps.
        render_mode: ``"human"``, ``"rgb_array"``, ``"ansi"`` or None.

    Raises:
        ValueError: If max_steps or the render mode is impossible, or no play of the game can ever end.
    """

    metadata: dict[str, Any] = {
        "name": "joint_game",
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 8,
        "is_parallelizable": True,
    }
    _obstacle = "no joint action ends it"
    """Why no play can end, if none can."""

    def __init__(
        self,
        mdp: TabularMDP,
        agents: Sequence[str],
        signs: Sequence[float],
        grid_map: GridMap,
        max_steps: int,
        render_mode: str | None,
    ) -> None:
        if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 1:
            raise ValueError(f"max_steps must be a whole number from 1, got {max_steps!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        if not can_end(mdp):
            raise ValueError(f"on this map the game can never end: {self._obstacle}; open a way")
        self.mdp, self.grid_map = mdp, grid_map
        self.max_steps, self.render_mode = int(max_steps), render_mode
        self.possible_agents = list(agents)
        self.agents: list[str] = []
        self.state_index = -1
        self._goes_on = set(np.flatnonzero(~mdp.terminated.all(axis=(1, 2))).tolist())
        self._signs = dict(zip(agents, signs, strict=True))
        self.state_space = spaces.Discrete(mdp.n_states)
        self._observation_spaces = {agent: spaces.Discrete(mdp.n_states) for agent in agents}
        self._action_spaces = {agent: spaces.Discrete(N_ACTIONS) for agent in agents}
        self._n_steps = 0
        self._np_random: np.random.Generator | None = None
        self._painter: Any = None
        self._window: Any = None

    def observation_space(self, agent: str) -> spaces.Discrete:
        """The joint states, the same for all."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """0 up, 1 right, 2 down, 3 left, 4 stay."""
        return self._action_spaces[agent]

    def state(self) -> np.ndarray:
        """The joint state at present, an array of shape (); -1 before the first reset."""
        return np.array(self.state_index)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.int64], dict[str, dict[str, Any]]]:
        """Starts an episode; a seed starts the random numbers anew.

        Args:
            seed: For the starts and the outcomes that are drawn at random.
            options: ``{"state": s}`` starts in the joint state s.

        Raises:
            ValueError: If that state is none in which the game goes on.
        """
        if seed is not None or self._np_random is None:
            self._np_random, _ = seeding.np_random(seed)
        given = (options or {}).get("state")
        state = None if given is None else np.asarray(given)[()]  # state() gives an array of shape ()
        if state is not None and not (np.isscalar(state) and state in self._goes_on):
            raise ValueError(f"the game does not go on from state {given!r}: it is none, or the end")
        self.state_index = int(self.mdp.sample_start(self._np_random) if state is None else state)
        self.agents = self.possible_agents[:]
        self._n_steps = 0
        if self.render_mode == "human":
            self.render()
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, SupportsIndex]
    ) -> tuple[dict[str, np.int64], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """All agents move at once.

        Raises:
            ValueError: If an agent's action is missing or none.
            RuntimeError: If called before ``reset`` or after the end.
        """
        if not self.agents:
            raise RuntimeError("call reset() before step()")
        assert self._np_random is not None  # reset() sets it
        next_state, reward, ends = self.mdp.sample(self.state_index, self.joint_action(actions), self._np_random)
        self.state_index, terminated = int(next_state), bool(ends)
        agents = self.agents
        self._n_steps += 1
        truncated = not terminated and self._n_steps >= self.max_steps
        rewards = {agent: self._signs[agent] * float(reward) for agent in agents}
        infos = {agent: {"is_success": terminated and rewards[agent] > 0} for agent in agents}
        if terminated or truncated:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return self._observations(), rewards, dict.fromkeys(agents, terminated), dict.fromkeys(agents, truncated), infos

    def joint_action(self, actions: Mapping[str, SupportsIndex]) -> int:
        """The action of ``mdp`` that these actions are together.

        Raises:
            ValueError: If one is missing or none.
        """
        return joint_index(actions, dict.fromkeys(self.possible_agents, N_ACTIONS))

    def separate_actions(self, joint: SupportsIndex) -> dict[str, int]:
        """The actions that an action of ``mdp`` consists of: to follow a joint policy."""
        separate = np.unravel_index(int(joint), (N_ACTIONS,) * len(self.possible_agents))
        return {agent: int(action) for agent, action in zip(self.possible_agents, separate, strict=True)}

    def render(self) -> Any:
        """The board at present: an array (``rgb_array``), text (``ansi``), or None after showing it (``human``)."""
        if self.render_mode is None:
            logger.warn(f"render() needs a render_mode: {type(self).__name__}(..., render_mode='rgb_array')")
            return None
        pieces = self._pieces(self.state_index) if self.state_index >= 0 else []
        if self.render_mode == "ansi":
            return write_pieces(self.grid_map, pieces)
        from sb3_ext.envs.grid.rendering import GridPainter, Window

        self._painter = self._painter or GridPainter(self.grid_map)
        frame = draw_pieces(self._painter, pieces)
        if self.render_mode == "rgb_array":
            return frame
        self._window = self._window or Window(type(self).__name__, self.metadata["render_fps"])
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _observations(self) -> dict[str, np.int64]:
        return dict.fromkeys(self.possible_agents, np.int64(self.state_index))

    def _pieces(self, state: int) -> list[Piece]:
        """What lies on the map in a joint state, in the order of drawing."""
        raise NotImplementedError
