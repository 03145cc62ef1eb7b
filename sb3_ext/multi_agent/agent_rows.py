"""Agents as the rows of an SB3 ``VecEnv``: what each row's agent saw and got in the last step of its copy.

Row ``c * len(agents) + a`` is agent ``a`` of copy ``c``, for good. While its agent is not alive (dead, or not yet
there) a row is shown zeros, its reward is 0, its action is not used and its info says ``{"alive": False}``: no
transition for a learner, see ``alive_only.py``. It is done once more when its copy is reset, so that wrappers which
remember something (frame stacks) begin anew with the next episode.
"""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ext.multi_agent.alive_only import refuse_learning_from_the_dead
from sb3_ext.multi_agent.copies import EnvCopy, layers
from sb3_ext.multi_agent.masking import legal_actions, mask_size, without_mask
from sb3_ext.multi_agent.spaces import AgentIndicator, ObservationRows, common_spaces


class AgentRowsVecEnv(VecEnv):
    """Base of the vector environments over agents; subclasses say who steps the copies.

    Args:
        copies: The environments.
        agents: Whose rows these are, all with the same spaces.
        agent_indicator: Whether to mark each observation with its agent.
    """

    def __init__(self, copies: Sequence[EnvCopy], agents: Sequence[str], agent_indicator: bool = False) -> None:
        self.copies = list(copies)
        self.agents = list(agents)
        env = self.copies[0].env
        observation_space, action_space = common_spaces(env, self.agents)
        indicator = AgentIndicator(observation_space, self.agents) if agent_indicator else None
        self._rows = ObservationRows(observation_space, self.agents * len(self.copies), indicator)
        given_space = env.observation_space(self.agents[0])
        self._observes_masks = isinstance(given_space, spaces.Dict) and "action_mask" in given_space.spaces
        self._begun = self._learner_is_checked = self._closed = False
        self.actions: Any = None
        super().__init__(len(self.copies) * len(self.agents), self._rows.space, action_space)
        self.metadata = {**getattr(env, "metadata", {}), **self.metadata}

    # --- stepping

    @abstractmethod
    def _reset_copies(self) -> None:
        """Begins an episode in every copy."""

    @abstractmethod
    def _step_copies(self) -> VecEnvStepReturn:
        """Steps every copy once, and reports."""

    def reset(self) -> VecEnvObs:
        """Begins an episode in every copy, with the seeds and options set before, which serve once.

        Returns:
            Observations, [rows, ...] or a dictionary of such.
        """
        self._reset_copies()
        self._reset_seeds()
        self._reset_options()
        self._begun, self._learner_is_checked = True, False
        self.reset_infos = [dict(copy.current_infos.get(agent) or ()) for copy, agent in self._row_agents()]
        return self._observe()

    def step_async(self, actions: np.ndarray) -> None:
        """Hands over one action for each row, [rows, ...].

        Raises:
            ValueError: If the number of actions is not the number of rows.
        """
        if len(actions) != self.num_envs:
            raise ValueError(f"got {len(actions)} actions for {self.num_envs} rows (agents x copies)")
        self.actions = np.array(actions)
        if isinstance(self.action_space, spaces.Discrete):
            self.actions = self.actions.tolist()  # environments calculate faster with Python's integers

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations [rows, ...], rewards float32 [rows], dones bool [rows], infos.

        The infos are the environment's own (but for a key "alive"), and ``TimeLimit.truncated``; at an agent's end also
        ``terminal_observation`` and ``episode`` (as SB3's Monitor); at the end of a copy's episode, in its first row,
        ``team_episode``: return over all agents, length in environment steps. ``{"alive": False}``: no transition.

        Raises:
            RuntimeError: If a model is learning from rows that are not alive.
        """
        report = self._step_copies()
        if not self._learner_is_checked:
            dead = next((row for row, info in enumerate(report[3]) if "alive" in info), None)
            if dead is not None:
                refuse_learning_from_the_dead(self, self.agents[dead % len(self.agents)])
                self._learner_is_checked = True
        return report

    def copy_actions(self, index: int) -> dict[str, Any]:
        """The actions of one copy's agents."""
        first = index * len(self.agents)
        return dict(zip(self.agents, self.actions[first : first + len(self.agents)], strict=True))

    def report(self) -> VecEnvStepReturn:
        """What the copies' last step was for these rows."""
        rewards: list[float] = []
        infos: list[dict[str, Any]] = []
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        for copy in self.copies:
            first_row = len(infos)
            for agent in self.agents:
                if agent in copy.acted:
                    rewards.append(copy.rewards.get(agent, 0.0))
                    info = dict(copy.infos.get(agent) or ())
                    info.pop("alive", None)  # an environment's own word for something else
                    info["TimeLimit.truncated"] = False
                else:
                    rewards.append(0.0)
                    info = {"alive": False, "TimeLimit.truncated": False}
                infos.append(info)
            if copy.ends:
                self._report_ends(copy, first_row, dones, infos)
            if copy.team_episode is not None:
                infos[first_row]["team_episode"] = copy.team_episode
        return self._observe(), np.array(rewards, dtype=np.float32), dones, infos

    def _report_ends(self, copy: EnvCopy, first_row: int, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        for row, agent in enumerate(self.agents, start=first_row):
            info, end = infos[row], copy.ends.get(agent)
            if end is not None:
                info["TimeLimit.truncated"] = end.truncated and not end.terminated
                info["episode"] = end.episode
            if end is not None or copy.restarted:
                dones[row] = True
                info["terminal_observation"] = self.agent_observation(agent, end.observation if end else None)
            if copy.restarted:
                self.reset_infos[row] = dict(copy.current_infos.get(agent) or ())

    def _observe(self) -> VecEnvObs:
        return self._rows.stack(
            without_mask(copy.observations[agent]) if agent in copy.alive else None
            for copy, agent in self._row_agents()
        )

    def _row_agents(self) -> Iterator[tuple[EnvCopy, str]]:
        return ((copy, agent) for copy in self.copies for agent in self.agents)

    # --- who is there, what they may do

    @property
    def alive(self) -> np.ndarray:
        """Whose action the next step takes, bool [rows]."""
        return np.array([agent in copy.alive for copy, agent in self._row_agents()])

    @property
    def env_steps(self) -> int:
        """Steps of all copies together since they were made: the environment's steps, however many agents acted."""
        return sum(copy.n_steps for copy in self.copies)

    def agent_observation(self, agent: str, observation: Any) -> Any:
        """One agent's observation as a model that learns from these rows is shown it: no mask, with the indicator."""
        return self._rows.single(agent, without_mask(observation))

    def action_masks(self) -> np.ndarray:
        """Who may do what in the next step, bool [rows, n_actions], as sb3-contrib's MaskablePPO asks for it.

        Raises:
            AttributeError: If the environment has no action masks.
            ValueError: If an agent has no action left.
        """
        if not self._supports_masks():
            raise AttributeError(f"{self.copies[0].env} gives no action masks, neither with observations nor in infos")
        return np.stack([self._mask(copy, agent) for copy, agent in self._row_agents()])

    def _mask(self, copy: EnvCopy, agent: str) -> np.ndarray:
        mask = None
        if agent in copy.alive:
            info = copy.current_infos.get(agent) or {}
            mask = legal_actions(copy.observations[agent], info, self.action_space, agent)
        return np.ones(mask_size(self.action_space), dtype=np.bool_) if mask is None else mask

    def _supports_masks(self) -> bool:
        if self._observes_masks:
            return True
        if not self._begun:  # only infos can tell; the first real reset comes afterwards, with its seed
            self.copies[0].reset()
        infos = self.copies[0].current_infos.values()
        return any("action_mask" in (info or ()) for info in infos)

    # --- access to the environments

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Gives copy ``i`` the seed ``seed + i`` at the next reset; returns the seed of each row's copy."""
        if seed is None:
            seed = int(np.random.randint(0, np.iinfo(np.int32).max))  # noqa: NPY002  (SB3's generator)
        self._seeds = [seed + copy for copy in range(len(self.copies)) for _ in self.agents]
        return self._seeds

    def _copies_of(self, indices: VecEnvIndices) -> list[int]:
        return [row // len(self.agents) for row in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each row's copy, wherever among its wrappers it is.

        Raises:
            AttributeError: If the environment lacks it.
        """
        if attr_name == "action_masks" and self._supports_masks():
            return [self.action_masks] * len(self._copies_of(indices))
        return [getattr(self._owner(copy, attr_name), attr_name) for copy in self._copies_of(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets the attribute of each row's copy where it is, a new one in the environment within its wrappers."""
        for copy in set(self._copies_of(indices)):
            setattr(self._owner(copy, attr_name), attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any):
        """Calls a method once in each copy that has a row among ``indices``; its result is that of all these rows.

        Raises:
            AttributeError: If the environment has no such method.
        """
        if method_name == "action_masks" and self._supports_masks():
            masks = self.action_masks()
            return [masks[row] for row in self._get_indices(indices)]
        copies = self._copies_of(indices)
        results = {
            copy: getattr(self._owner(copy, method_name), method_name)(*method_args, **method_kwargs)
            for copy in dict.fromkeys(copies)
        }
        return [results[copy] for copy in copies]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Whether each row's copy is wrapped; Monitor always, since the infos hold what it would report."""
        return [
            wrapper_class is Monitor or any(isinstance(layer, wrapper_class) for layer in layers(self.copies[copy].env))
            for copy in self._copies_of(indices)
        ]

    def _owner(self, copy: int, name: str) -> Any:
        all_layers = list(layers(self.copies[copy].env))
        owners = (layer for layer in all_layers if name in vars(layer) or hasattr(type(layer), name))
        return next(owners, all_layers[-1])

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One RGB image of each copy (its agents share it), or None and a warning where the render mode is another."""
        if self.render_mode != "rgb_array":
            warnings.warn(f"images need render_mode='rgb_array', got {self.render_mode!r}", stacklevel=2)
            return [None] * len(self.copies)
        return [copy.env.render() for copy in self.copies]

    def close(self) -> None:
        """Closes the copies; a second call does nothing."""
        if not self._closed:
            self._closed = True
            for copy in self.copies:
                copy.env.close()
