"""Runs several ``learn()`` at once, each on a stack of its own, taking turns, without threads.

A greenlet is a function that can be left amid its calls and gone back to. Each model's ``learn()`` runs in one. Its
``env.step(actions)`` leaves it for the hub, which goes back to the next model, until all have said their actions; then
the hub steps the environment once, and goes back to each with its share of what happened. The order is always the
same, and so is the run of the same seed.
"""

import inspect
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from copy import deepcopy
from typing import Any

import numpy as np
import torch as th
from greenlet import getcurrent, greenlet
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_ext.multi_agent.agent_rows import AgentRowsVecEnv
from sb3_ext.multi_agent.copies import EnvCopy
from sb3_ext.multi_agent.masking import legal_actions

_PATIENCE = 100  # episodes for which the others wait for a model whose agents do not come back


class LearnerVecEnv(AgentRowsVecEnv):
    """The rows of one model's agents, in environments that the agents of other models act in too."""

    def __init__(self, hub: "Hub", agents: Sequence[str], agent_indicator: bool) -> None:
        self.hub = hub
        self.is_fresh = False  # whether the model has not stepped since the hub reset the copies
        self.is_waiting = False  # whether the model has stepped and not yet been answered
        self.answer: VecEnvStepReturn | None = None
        super().__init__(hub.copies, agents, agent_indicator)
        self.action_space = deepcopy(self.action_space)  # random actions are drawn for this model alone

    def _reset_copies(self) -> None:
        if not self.is_fresh:
            raise RuntimeError(
                "a model resets its environment amid the training, which would cut the episodes of all others"
                if self.hub.main is not None
                else "this environment is shared with other models; train through IndependentLearners.learn()"
            )

    def _step_copies(self) -> VecEnvStepReturn:
        if self.hub.main is None:
            raise RuntimeError("other models act in this environment too; step it through IndependentLearners.learn()")
        self.is_fresh, self.is_waiting, self.answer = False, True, None
        grad_enabled = th.is_grad_enabled()  # belongs to the thread, which others go on with
        th.set_grad_enabled(True)
        self.hub.main.switch()
        th.set_grad_enabled(grad_enabled)
        self.is_waiting = False
        assert self.answer is not None
        return self.answer

    def hear(self) -> None:
        """Takes in what the copies' step was for the model, which may sleep through more than one."""
        if self.is_waiting:
            self.answer = self.report() if self.answer is None else _joined(self.answer, self.report())

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds the copies, which all models share, unless ``IndependentLearners`` was given a seed."""
        seeds = super().seed(seed)
        if not self.hub.has_own_seed:
            self.hub.seeds = list(seeds[:: len(self.agents)])
        return seeds

    def set_options(self, options: Any = None) -> None:
        """Cannot be done.

        Raises:
            NotImplementedError: If there are any.
        """
        if options:
            raise NotImplementedError("the environment is shared: let the function that makes it set its options")


def _joined(first: VecEnvStepReturn, second: VecEnvStepReturn) -> VecEnvStepReturn:
    """A step and what followed while nobody was alive, as one step: the end, then the next episode's beginning."""
    _, rewards, dones, infos = first
    observations, _, later_dones, later_infos = second
    for info, later in zip(infos, later_infos, strict=True):
        for key in later.keys() - info.keys() - {"alive"}:
            info[key] = later[key]
    return observations, rewards, dones | later_dones, infos


class Learner:
    """One model among several.

    Args:
        name: Its agent, or their pattern.
        env: Its rows.
        model: What learns from them.
    """

    def __init__(self, name: str, env: LearnerVecEnv, model: BaseAlgorithm) -> None:
        self.name = name
        self.env = env
        self.model = model
        self.has_learned = False
        self.n_missed = 0  # episodes in a row that its agents took no part in
        self.stack = greenlet(lambda: None)
        self._takes_masks = "action_masks" in inspect.signature(model.predict).parameters

    def start(self, total_timesteps: int, callback: MaybeCallback, env_steps: int, **kwargs: Any) -> None:
        """Makes ready to learn; begins once it is gone to."""
        self.has_learned, self.n_missed = False, 0
        self.env.is_fresh, self.env.is_waiting = True, False
        self.model._last_obs = None  # a new episode has begun
        callbacks = [*_as_list(callback), _StopWithTheOthers(env_steps)]

        def live() -> None:
            self.model.learn(total_timesteps * len(self.env.agents), callback=callbacks, **kwargs)
            self.has_learned = True
            self._go_on()

        self.stack = greenlet(live)
        self.stack.gr_context = copy_context()  # NumPy keeps there what to do about errors

    def _go_on(self) -> None:
        """Acts without learning, for those who still learn."""
        env = self.model.env
        assert env is not None
        observations: Any = self.model._last_obs
        state, starts = None, np.ones(env.num_envs, dtype=bool)
        while True:
            masks = {"action_masks": self.env.action_masks()} if self._is_masked else {}
            actions, state = self.model.predict(observations, state, starts, **masks)  # type: ignore[arg-type]
            observations, _, starts, _ = env.step(actions)

    @property
    def _is_masked(self) -> bool:
        return self._takes_masks and self.env.has_attr("action_masks")

    @property
    def is_awake(self) -> bool:
        """Whether one of its agents is alive."""
        return any(agent in copy.alive for copy in self.env.copies for agent in self.env.agents)

    def predict(self, agent: str, observation: Any, deterministic: bool) -> Any:
        """The action of one of its agents."""
        seen, space = self.env.agent_observation(agent, observation), self.env.action_space
        normalize = self.model.get_vec_normalize_env()
        if normalize is not None:
            seen = normalize.normalize_obs(seen)
        masks = {}
        if self._takes_masks and isinstance(observation, dict) and "action_mask" in observation:
            masks = {"action_masks": legal_actions(observation, {}, space, agent)}
        action, _ = self.model.predict(seen, deterministic=deterministic, **masks)  # type: ignore[arg-type]
        return int(action) if isinstance(space, spaces.Discrete) else action


class Hub:
    """Where the models meet.

    Args:
        copies: The environments.
        seed: Of the first copy; the next gets one more. None: the models' seeds count.
    """

    def __init__(self, copies: list[EnvCopy], seed: int | None) -> None:
        self.copies = copies
        self.learners: list[Learner] = []
        self.has_own_seed = seed is not None
        self.seeds: list[int | None] = [None if seed is None else seed + index for index in range(len(copies))]
        self.main: greenlet | None = None

    def run(self, total_timesteps: int, callbacks: Mapping[str, MaybeCallback], **kwargs: Any) -> None:
        """Lets all learn, until the last has."""
        for copy, seed in zip(self.copies, self.seeds, strict=True):
            copy.reset(seed)
        self.seeds = [None] * len(self.copies)
        last_step = sum(copy.n_steps for copy in self.copies) + total_timesteps
        progress_bar = kwargs.pop("progress_bar", False)
        for learner in self.learners:
            own = {"tb_log_name": file_name(learner.name), "progress_bar": progress_bar and learner is self.learners[0]}
            learner.start(total_timesteps, callbacks.get(learner.name), last_step, **{**own, **kwargs})
        self.main = getcurrent()
        try:
            while self._all_act():
                self._step()
        finally:
            for learner in self.learners:
                if not learner.stack.dead:
                    learner.stack.throw()  # ends it where it waits; its `finally` blocks run
            self.main = None

    def _all_act(self) -> bool:
        """Goes to each model that has somebody to act for; returns whether one of all still learns."""
        for learner in self.learners:
            if learner.is_awake:
                learner.n_missed = 0
                try:
                    learner.stack.switch()
                except BaseException as error:
                    error.add_note(f"while training the model of {learner.name!r}")
                    raise
        return not all(learner.has_learned or learner.n_missed >= _PATIENCE for learner in self.learners)

    def _step(self) -> None:
        for index, copy in enumerate(self.copies):
            actions: dict[str, Any] = {}
            for learner in self.learners:
                if learner.env.actions is not None:
                    actions |= learner.env.copy_actions(index)
            copy.step({agent: actions[agent] for agent in copy.env.agents})
        n_over = sum(copy.restarted for copy in self.copies)
        for learner in self.learners:
            learner.env.hear()
            learner.n_missed += 0 if learner.is_awake else n_over


class _StopWithTheOthers(BaseCallback):
    """Ends the training of a model that slept while others learned, after a rollout: no data are thrown away."""

    def __init__(self, env_steps: int) -> None:
        super().__init__()
        self.env_steps = env_steps
        self.is_over = False

    def _on_step(self) -> bool:
        return not self.is_over

    def _on_rollout_end(self) -> None:
        self.is_over = self.training_env.unwrapped.env_steps >= self.env_steps  # type: ignore[attr-defined]


def _as_list(callback: MaybeCallback) -> list[BaseCallback]:
    if callback is None:
        return []
    if isinstance(callback, list):
        return callback
    return [callback if isinstance(callback, BaseCallback) else ConvertCallback(callback)]


def file_name(pattern: str) -> str:
    """A name that file systems take.

    >>> file_name("team/adversary_*")
    'team_adversary_all'
    """
    return "".join(c if c.isalnum() or c in "-_." else {"*": "all"}.get(c, "_") for c in pattern)
