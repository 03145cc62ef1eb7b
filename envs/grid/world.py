"""A grid world drawn as text: Gymnasium's interface over an exact, open model.

The model is built once from the map (``model.py``); a step is then three look-ups in its arrays. Random numbers
come from a generator of one integer of state (splitmix64, Steele, Lea & Flood 2014), so that ``GridWorldVecEnv`` can
draw the very same numbers for a thousand worlds at once.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any, Self, SupportsIndex

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.checks import check_goals, check_redrawable, keep_connected_starts
from sb3_ext.envs.grid.layouts import LAYOUTS
from sb3_ext.envs.grid.map import CLIFF, DOOR, GOAL, HOLE, KEY, WALL, Cell, GridMap, random_map
from sb3_ext.envs.grid.model import Rules, build_model
from sb3_ext.envs.grid.observation import GridObservation
from sb3_ext.tabular.mdp import TabularMDP

MapLike = str | Sequence[str] | GridMap
MASK64 = 2**64 - 1
_WORLD_KEYS = {"map", "wind", "rewards", "jumps", "rules", "change", "require_goal", "about", "max_episode_steps"}
_CHANGE_KEYS = {"after", "map", "wind", "rewards", "jumps"}
GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd
_GOAL_MODE_REWARDS = {"step_reward": -1.0, "goal_reward": 0.0, "hole_reward": -100.0}  # see GridWorld, Rewards


class GridWorld(gym.Env[Any, Any]):
    """A world of cells, from a map.

    ### Action space
    ``Discrete(4)``: 0 up, 1 right, 2 down, 3 left. With king's moves ``Discrete(8)``: 4 up-right, 5 down-right, 6
    down-left, 7 up-left. With ``stay``, the last action is to stay.

    ### Observation space
    By ``observation`` (``index``, ``coordinates``, ``one_hot``, ``image`` or ``goal``), see ``GridObservation``. The
    state is ``row * width + column``, plus ``height * width`` once the key is held.

    ### Starting state
    Drawn uniformly from the cells ``S``, or from all free cells with ``random_start``.

    ### Dynamics
    A move off the map or into a wall ends where it began. The wind of the cell that is left is added to the move, and
    the sum is clipped to the map (it may carry over a wall). Entering the key takes it, entering a cliff leads back to
    the start, any action in a cell that jumps follows the jump.

    ### Rewards
    ``step_reward`` for each step; instead of it ``goal_reward`` for entering a goal, ``hole_reward`` for a hole or a
    cliff, the map's own reward of the cell entered, ``bump_reward`` for a blocked move, and the jump's for a jump.

    With ``observation="goal"`` a step costs 1, the goal pays 0 and a hole costs 100 (as much as to walk for ever, for
    gamma = 0.99), whatever the layout says, unless they are given. ``HerReplayBuffer`` needs that: it gives past steps
    other goals, but lets none of them end there, so a reward above 0 looks as if it could be had again and again.

    ### Episode end
    ``terminated`` at a hole and, with ``goal_ends``, at a goal. ``truncated`` is reported by Gymnasium's TimeLimit: the
    registered ids have one (``gym.make(id, max_episode_steps=...)``), the bare class has none.

    ### Info
    ``is_success``: whether this step reached a goal that ends the episode (SB3 logs its mean as the success rate).

    Attributes:
        grid_map: The map at present.
        mdp: Its exact model, a TabularMDP.
        rules: The rules of moving and of rewards.
        state: The state at present.
        compute_reward: With ``observation="goal"``: (achieved_goal, desired_goal, info) -> reward, as SB3's
            ``HerReplayBuffer`` needs it, for one pair of cells [2] or many [n, 2].

    Args:
        map: Name of a layout (``sb3_ext.envs.grid.layouts.LAYOUTS``), the map's text or rows, or a ``GridMap``.
        observation: Observation mode.
        render_mode: ``"human"``, ``"rgb_array"``, ``"ansi"`` or None.
        slip: Probability, from 0 to 1, that a move goes to one of its two sides (a quarter turn; half each).
        king_moves: Eight directions instead of four.
        stay: Adds the action to stay.
        stochastic_wind: Where there is wind, its strength varies by -1, 0 or 1 cells, 1/3 each.
        random_start: Starts in any free cell.
        step_reward: -0.01 unless the layout (or the goal mode, see Rewards) says otherwise; likewise the following.
        goal_reward: 1.
        hole_reward: -1, for cliffs too.
        bump_reward: For a blocked move; None (no special reward).
        goal_ends: True; False makes an endless task.
        require_goal: Refuses maps without a goal, and with one that cannot be reached.
        redraw_obstacles: Number of walls of a random map of the same shape that is drawn at each reset (see
            ``random_map``): the start is at the top left (with ``random_start``, any free cell with a way to the goal)
            and the goal at the bottom right, and ``map`` may say nothing else. That is one MDP for each episode, not a
            fixed one: only ``"image"`` shows the layout.
        change: (n, map): after n steps since the last seeded reset, counted over all episodes, the world takes this map
            (as soon as the agent is not standing where a wall or an end comes), as in S&B's Figures 8.4 and 8.5.
        wind: In place of the map's own (and the later map's): upward shift in cells, an integer for each column or for
            each cell.

    Raises:
        ValueError: If the map or a number is impossible; the message names the cell or the value.

    Example:
        >>> env = GridWorld('''
        ...     S.#
        ...     ..G
        ... ''')
        >>> env.reset(seed=0)
        (0, {})
        >>> env.step(1)
        (1, -0.01, False, False, {'is_success': False})
    """

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}

    def __init__(
        self,
        map: MapLike = "Obstacles5x5",
        observation: str = "index",
        render_mode: str | None = None,
        *,
        slip: float | None = None,
        king_moves: bool | None = None,
        stay: bool | None = None,
        stochastic_wind: bool | None = None,
        random_start: bool | None = None,
        step_reward: float | None = None,
        goal_reward: float | None = None,
        hole_reward: float | None = None,
        bump_reward: float | None = None,
        goal_ends: bool | None = None,
        require_goal: bool | None = None,
        redraw_obstacles: int | None = None,
        change: tuple[int, MapLike] | None = None,
        wind: npt.ArrayLike | None = None,
    ) -> None:
        layout = LAYOUTS.get(map, {}) if isinstance(map, str) else {}
        given = {
            "slip": slip, "king_moves": king_moves, "stay": stay, "stochastic_wind": stochastic_wind,
            "random_start": random_start, "step_reward": step_reward, "goal_reward": goal_reward,
            "hole_reward": hole_reward, "bump_reward": bump_reward, "goal_ends": goal_ends,
        }  # fmt: skip
        for_goals = _GOAL_MODE_REWARDS if observation == "goal" else {}
        chosen = {name: value for name, value in given.items() if value is not None}
        self.rules = Rules(**{**layout.get("rules", {}), **for_goals, **chosen})
        self.observation_mode = observation
        self._require_goal = layout.get("require_goal", True) if require_goal is None else require_goal
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        self.render_mode = render_mode
        self.redraw_obstacles = redraw_obstacles
        if change is None and "change" in layout:
            change = _read_change(layout["change"])
        self._first_map = read_map(map) if wind is None else read_map(map).with_wind(wind)
        self._change = None if change is None else self._checked_change(change, wind)
        if redraw_obstacles is not None:
            check_redrawable(self._first_map)
            if change is not None:
                raise ValueError(
                    "the map is either drawn anew (redraw_obstacles) or changes (change): give one of them"
                )
        self._window: Any = None
        self._painter: Any = None
        self._random_state: int | None = None
        if self._change is not None:
            self._adopt(self._change[1])  # a bad later map fails here, not in the middle of a training
        self._adopt(self._first_map if redraw_obstacles is None else self._drawn_map(0))
        self.observation_space = self._observation.space
        self.action_space = gym.spaces.Discrete(self.mdp.n_actions)
        if observation == "goal":  # only then: SB3 takes whatever has this method for a goal environment
            self.compute_reward = self._compute_reward
        self._n_valid_actions = 0  # none before the first reset
        self._n_steps = 0
        self.state = -1

    # --- descriptions and files

    @classmethod
    def from_dict(cls, description: Mapping[str, Any], **overrides: Any) -> Self:
        """Builds a world from plain data: ``map``, ``wind``, ``rewards``, ``jumps``, ``rules``, ``change``, ...

        Args:
            description: As ``to_dict`` gives it, and as in ``LAYOUTS``.
            overrides: Arguments of the constructor that take precedence.
        """
        _check_keys("world", description, _WORLD_KEYS)
        kwargs: dict[str, Any] = {"require_goal": description.get("require_goal", True)}
        unknown = set(description.get("rules", {})) - set(Rules.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown rules {sorted(unknown)}; there are {', '.join(Rules.__dataclass_fields__)}")
        if "change" in description:
            kwargs["change"] = _read_change(description["change"])
        kwargs.update(description.get("rules", {}))
        return cls(GridMap.from_dict(description), **{**kwargs, **overrides})

    @classmethod
    def from_file(cls, path: str | Path, **overrides: Any) -> Self:
        """Reads a world that ``to_file`` wrote (JSON), or a bare map (any text that does not begin with ``{``)."""
        text = Path(path).read_text(encoding="utf-8")
        if not text.lstrip().startswith("{"):
            return cls(GridMap.from_text(text), **overrides)
        try:
            description = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} begins like JSON, but is not: {error}") from error
        return cls.from_dict(description, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """The world as plain data, all but the observation and render mode and the redrawing."""
        default = Rules()
        rules = {key: value for key, value in vars(self.rules).items() if value != getattr(default, key)}
        description = {**self._first_map.to_dict(), "rules": rules, "require_goal": self._require_goal}
        if self._change is not None:
            description["change"] = {"after": self._change[0], **self._change[1].to_dict()}
        return description

    def to_file(self, path: str | Path) -> None:
        """Writes the world as readable JSON, one row of the map a line."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    # --- Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; a seed starts all random numbers (and a changing world) anew."""
        super().reset(seed=seed)
        if seed is not None or self._random_state is None:
            self._random_state = first_random_state(self.np_random)
            self._n_steps = 0
        if self.redraw_obstacles is not None:
            self._adopt(self._drawn_map(int(self._uniform() * 2**53)))
        elif self._n_steps == 0 and self.grid_map is not self._first_map:
            self._adopt(self._first_map)
        self._n_valid_actions = self.mdp.n_actions
        self.state = self._starts[0]
        if len(self._starts) > 1:
            self.state = self._starts[int(self._uniform() * len(self._starts))]
        if self.render_mode == "human":
            self.render()
        return self._observation.one(self.state), {}

    def step(self, action: SupportsIndex) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Makes one move.

        Raises:
            ValueError: If the action is none.
            RuntimeError: If called before ``reset``.
        """
        move = index(action)
        if not 0 <= move < self._n_valid_actions:
            self._refuse(move)
        outcome = bisect_right(self._thresholds, self._uniform()) if self._thresholds else 0
        place = (self.state, move, outcome)
        self.state = state = self._next_state_at(*place)
        reward, terminated = self._reward_at(*place), self._terminated_at(*place)
        is_success = terminated and state in self._goal_states
        if self._change is not None:
            self._count_step(self._change)
        if self.render_mode == "human":
            self.render()
        return (
            state if self._sees_index else self._observation.one(state),
            reward,
            terminated,
            False,
            {"is_success": is_success},
        )

    def render(self) -> Any:
        """The world at present: an array (``rgb_array``), text (``ansi``), or None after showing it (``human``)."""
        from sb3_ext.envs.grid import rendering

        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: GridWorld(..., render_mode='rgb_array')")
            return None
        agent, has_key = self.agent
        if self.render_mode == "ansi":
            return rendering.render_text(self.grid_map, agent, has_key=has_key)
        if self._painter is None:
            self._painter = rendering.GridPainter(self.grid_map)
        frame = self._painter.frame(agent, self.grid_map.cells(KEY + DOOR) if has_key else ())
        if self.render_mode == "rgb_array":
            return frame
        if self._window is None:
            self._window = rendering.Window()
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def observe(self, states: npt.ArrayLike) -> Any:
        """What is observed in given states, without going there: for a policy that is to be asked in all of them.

        Args:
            states: Integers [n], each a state of ``mdp``.

        Returns:
            An array [n, ...], or a dictionary of such with ``observation="goal"``, always new.

        Raises:
            ValueError: If they are not integers [n], or one of them is no state.

        Example:
            >>> GridWorld(["SG"], observation="coordinates").observe([0, 1]).tolist()
            [[0.0, 0.0], [0.0, 1.0]]
        """
        array = np.asarray(states)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise ValueError(f"observe needs integers [n], got {array.dtype} {list(array.shape)}")
        wrong = array[(array < 0) | (array >= self.mdp.n_states)]
        if len(wrong):
            raise ValueError(f"the states are 0 to {self.mdp.n_states - 1}, got {wrong[0]}")
        return self._observation.many(array.astype(np.int64))

    # --- copies of a moment

    def reseed(self, seed: int) -> None:
        """Starts the random numbers anew, as ``reset(seed=seed)`` does, and leaves the world as it is."""
        self.np_random = np.random.default_rng(seed)
        self._random_state = first_random_state(self.np_random)

    def clone_state(self) -> tuple[int, int, GridMap]:
        """Where the world stands, but for its random numbers: state, steps since the last seeded reset, map.

        Raises:
            RuntimeError: If called before ``reset``.
        """
        if self.state < 0:
            raise RuntimeError("call reset() before clone_state()")
        return self.state, self._n_steps, self.grid_map

    def restore_state(self, state: tuple[int, int, GridMap]) -> None:
        """Goes where a world of the same rules and shape stood at ``clone_state``; its own random numbers go on.

        Raises:
            RuntimeError: If called before ``reset``.
            ValueError: If the other world has another shape.
        """
        if self.state < 0:
            raise RuntimeError("call reset() before restore_state()")
        grid_map = state[2]
        if grid_map.shape != self.grid_map.shape or grid_map.has_key != self.grid_map.has_key:
            raise ValueError(f"a world of {self.grid_map.shape} cannot take the state of one of {grid_map.shape}, nor "
                             "one with a key that of one without")  # fmt: skip
        if grid_map.to_dict() != self.grid_map.to_dict():
            self._adopt(grid_map)
        self.state, self._n_steps = state[:2]

    # --- goals

    def _compute_reward(
        self, achieved_goal: npt.NDArray[Any], desired_goal: npt.NDArray[Any], info: Any = None
    ) -> float | npt.NDArray[np.float32]:
        """The reward of arriving at a cell when a certain cell was the goal, for ``HerReplayBuffer``.

        Args:
            achieved_goal: (row, column), [2] or [n, 2].
            desired_goal: Likewise.
            info: Not needed.

        Returns:
            A number, or float32 [n].
        """
        achieved, desired = np.atleast_2d(achieved_goal), np.atleast_2d(desired_goal)
        cells = np.rint(achieved).astype(np.int64) @ np.array([self.grid_map.shape[1], 1])
        reached = (np.abs(achieved - desired) < 0.5).all(axis=1)
        rewards = np.where(reached, self._goal_reward, self._entry_rewards[cells])
        return float(rewards[0]) if np.ndim(achieved_goal) == 1 else rewards.astype(np.float32)

    def _check_goal_mode(self) -> None:
        """Refuses worlds whose reward cannot be computed from the cell that was reached."""
        obstacles = {
            f"{self.grid_map.mask(GOAL).sum()} goals": self.grid_map.mask(GOAL).sum() != 1,
            "goal_ends=False": not self.rules.goal_ends,
            "bump_reward": self.rules.bump_reward is not None,
            "jumps": bool(self.grid_map.jumps),
            "cliffs": bool(self.grid_map.mask(CLIFF).any()),
        }
        for name, present in obstacles.items():
            if present:
                raise ValueError(
                    "observation='goal' needs one goal, which ends the episode, and rewards that depend on the cell "
                    f"entered alone, got {name}; choose another observation mode"
                )

    # --- inside

    @property
    def agent(self) -> tuple[Cell | None, bool]:
        """The agent's cell (None before the first reset), and whether it holds the key."""
        if self.state < 0:
            return None, False
        layer, cell = divmod(self.state, self.grid_map.n_cells)
        return divmod(cell, self.grid_map.shape[1]), layer == 1

    @property
    def plays_its_model(self) -> str | None:
        """How a compiled loop may play in its place ("splitmix64"), or None where it is more than its model."""
        changes = self._change is not None or self.redraw_obstacles is not None
        return None if changes or not self._sees_index else "splitmix64"

    @property
    def success_states(self) -> set[int]:
        """The states that count as a success where an episode terminates."""
        return self._goal_states

    @property
    def random_state(self) -> int:
        """The 64 bits that all further random numbers follow from; 0 before the first reset."""
        return self._random_state or 0

    @random_state.setter
    def random_state(self, bits: int) -> None:
        self._random_state = bits

    @staticmethod
    def sb3_vec_env(**kwargs: Any) -> Any:
        """The class that steps many such worlds at once behind SB3's ``VecEnv``, or None where it cannot."""
        from sb3_ext.envs.grid.world_vec import GridWorldVecEnv

        return GridWorldVecEnv if GridWorldVecEnv.supports(**kwargs) else None

    def _adopt(self, grid_map: GridMap) -> None:
        """Makes a map the present one, with its model."""
        self.grid_map = grid_map
        self.mdp: TabularMDP = build_model(grid_map, self.rules)
        if self._require_goal and self.redraw_obstacles is None:  # a random map has its path
            check_goals(grid_map, self.mdp)
        elif self.redraw_obstacles is not None and self.rules.random_start:
            self.mdp = keep_connected_starts(grid_map, self.mdp)
        self._observation = GridObservation(self.observation_mode, grid_map)
        self._sees_index = self.observation_mode == "index"
        self._next_state_at = self.mdp.next_state.item  # plain Python numbers, from arrays of any size
        self._reward_at = self.mdp.reward.item
        self._terminated_at = self.mdp.terminated.item
        self._thresholds: list[float] = np.cumsum(self.mdp.probability[0, 0])[:-1].tolist()
        self._starts: list[int] = self.mdp.start.nonzero()[0].tolist()
        goals = np.flatnonzero(grid_map.mask(GOAL)).tolist()
        self._goal_states = {goal + layer for goal in goals for layer in range(0, self.mdp.n_states, grid_map.n_cells)}
        self._painter = None
        if self.observation_mode == "goal":
            self._check_goal_mode()
            own, rules = grid_map.cell_rewards.ravel(), self.rules
            self._goal_reward = rules.goal_reward if np.isnan(own[goals[0]]) else float(own[goals[0]])
            holes = np.where(grid_map.mask("H").ravel(), rules.hole_reward, rules.step_reward)
            self._entry_rewards = np.where(np.isnan(own), holes, own)
            self._entry_rewards[goals[0]] = rules.step_reward

    def _drawn_map(self, seed: int) -> GridMap:
        """A random map in place of the first one."""
        assert self.redraw_obstacles is not None
        return random_map(self._first_map.shape, self.redraw_obstacles, seed)

    def _checked_change(self, change: tuple[int, MapLike], wind: npt.ArrayLike | None) -> tuple[int, GridMap]:
        if not isinstance(change, Sequence) or len(change) != 2 or not isinstance(change[0], (int, np.integer)):
            raise ValueError(f"change must be (number of steps, map), got {change!r}")
        after, later = int(change[0]), read_map(change[1])
        if after < 1 or later.shape != self._first_map.shape or later.has_key != self._first_map.has_key:
            raise ValueError(
                f"change needs a number of steps from 1 and a map of the same shape {self._first_map.shape}, with a "
                f"key if that has one, got {after} and a map of shape {later.shape}"
            )
        return after, later if wind is None else later.with_wind(wind)

    def _count_step(self, change: tuple[int, GridMap]) -> None:
        """Counts a step, and takes the later map when it is time and no wall or end would come upon the agent."""
        self._n_steps += 1
        after, later = change
        if self._n_steps >= after and self.grid_map is not later:
            cell = self.agent[0]
            if cell is not None and later.letters[cell] not in (WALL, HOLE, *(GOAL if self.rules.goal_ends else "")):
                self._adopt(later)

    def _uniform(self) -> float:
        """A number in [0, 1) of 53 random bits: the next one of splitmix64."""
        assert self._random_state is not None  # reset() sets it
        self._random_state = bits = (self._random_state + GOLDEN_GAMMA) & MASK64
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK64
        return ((bits ^ (bits >> 31)) >> 11) * 2.0**-53

    def _refuse(self, action: int) -> None:
        if self._n_valid_actions == 0:
            raise RuntimeError("call reset() before step()")
        raise ValueError(f"GridWorld's actions are 0 to {self._n_valid_actions - 1}, got {action}")


def first_random_state(generator: np.random.Generator) -> int:
    """Where the splitmix64 sequence of a world begins, drawn from Gymnasium's seeded generator."""
    return int(generator.integers(2**64, dtype=np.uint64))


def _check_keys(name: str, description: Mapping[str, Any], known: set[str]) -> None:
    unknown = set(description) - known
    if unknown:
        raise ValueError(
            f"unknown keys {sorted(unknown)} of a {name}; there are {', '.join(sorted(known))} (slip and the like "
            "stand under 'rules')"
        )


def _read_change(description: Mapping[str, Any]) -> tuple[int, GridMap]:
    """What a description says of the later map: ``after`` (steps) and the map's own ``map``, ``wind``, ..."""
    _check_keys("change", description, _CHANGE_KEYS)
    if "after" not in description:
        raise ValueError(f"a change needs 'after' (a number of steps), got only {sorted(description)}")
    return description["after"], GridMap.from_dict(description)


def read_map(map: MapLike) -> GridMap:
    """A map from the name of a layout, text, rows, or a map.

    Raises:
        ValueError: If it is none of these, or impossible.
    """
    if isinstance(map, GridMap):
        return map
    if not isinstance(map, Sequence):
        raise ValueError(
            f"a map is the name of a layout ({', '.join(LAYOUTS)}), text, a list of rows or a GridMap, got {map!r}"
        )
    if isinstance(map, str) and map in LAYOUTS:
        return GridMap.from_dict(LAYOUTS[map])
    try:
        return GridMap.from_text(map)
    except ValueError as error:
        if isinstance(map, str) and "\n" not in map:
            raise ValueError(f"{map!r} is no layout ({', '.join(LAYOUTS)}), and read as a map: {error}") from error
        raise
