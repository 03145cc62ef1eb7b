"""Independent learners: a model for each agent or group of agents, trained side by side in one environment.

Each model runs its own, unmodified ``learn()``, and to each the others are part of the environment (Tan, 1993,
"Multi-agent reinforcement learning: independent vs. cooperative agents"). What makes that possible is in ``hub.py``.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_ext.multi_agent.copies import EnvOrFactory, make_copies
from sb3_ext.multi_agent.hub import Hub, Learner, LearnerVecEnv, file_name

Model = BaseAlgorithm | Callable[[VecEnv], BaseAlgorithm]
INDEX = "learners.json"


class IndependentLearners:
    """One SB3 model for each agent or group of agents, of any algorithms, all trained at once.

        learners = IndependentLearners(
            {
                "adversary_*": lambda env: PPO("MlpPolicy", env),
                "agent_0": lambda env: DQN("MlpPolicy", env),
            },
            simple_tag_v3.parallel_env, seed=0,
        )
        learners.learn(100_000)

    A model gets a ``VecEnv`` with a row for each of its agents in each copy of the environment; its function may put
    SB3's wrappers around it. A model of several agents is shared by them, with all that ``PettingZooVecEnv`` says about
    agents that die before the others. A model all of whose agents have died sleeps until one of them lives again, so
    that with one copy and a model for each agent nothing is special about deaths.

    Args:
        models: Agent or pattern (``"adversary_*"``, as in ``fnmatch``) to a function that makes a model for a
            ``VecEnv``, or to a model that is there already (it is given its environment by ``set_env``).
        env: A function that makes a PettingZoo environment; for one copy also the environment itself.
        n_envs: Copies of the environment.
        seed: Copy ``i`` gets ``seed + i``; it also seeds Python, NumPy and torch before the models are made, so that
            unseeded models are reproducible. None: the environments take the seed that the last model brings along.
        agent_indicator: Whether a one-hot vector tells apart the agents that share a model.

    Attributes:
        models: The models, by agent or pattern.

    Raises:
        TypeError: For what is neither a model nor a function, or no PettingZoo environment.
        ValueError: For an agent without a model or with two, a pattern that no agent matches, one model under two
            names, or agents of one model whose spaces differ.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        env: EnvOrFactory,
        n_envs: int = 1,
        seed: int | None = None,
        agent_indicator: bool = False,
    ) -> None:
        copies = make_copies(env, n_envs)
        groups = _assign(list(models), copies[0].possible_agents)
        _refuse_twins(models)
        self.agent_indicator = agent_indicator
        self._hub = Hub(copies, seed)
        if seed is not None:
            set_random_seed(seed)
        for name, agents in groups.items():
            rows = LearnerVecEnv(self._hub, agents, agent_indicator and len(agents) > 1)
            if seed is not None:
                rows.action_space.seed(seed + len(self._hub.learners))
            try:
                self._hub.learners.append(Learner(name, rows, _model(models[name], rows)))
            except Exception as error:
                error.add_note(f"while making the model of {name!r}")
                raise
        self.models = {learner.name: learner.model for learner in self._hub.learners}

    def learn(
        self,
        total_timesteps: int,
        callbacks: Mapping[str, MaybeCallback] | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Trains all models.

        Args:
            total_timesteps: Environment steps, all copies together, at least: each model ends with the rollout in
                which they are reached. (A model of ``k`` agents counts ``k`` in each step, and is told to learn for
                ``k`` times as many; its schedules run on that.) A model that has ended goes on acting, without
                learning, until all have.
            callbacks: Name in ``models`` to the model's own callbacks.
            reset_num_timesteps: As in SB3. Every call begins new episodes, whatever it is.
            progress_bar: Whether to show that of the first model.
            **kwargs: For every model's ``learn``, for example ``log_interval``.

        Raises:
            ValueError: For callbacks of a model that does not exist.
            RuntimeError: If a model resets its environment amid the training (REINFORCE and GRPO do), or learns from
                rows of dead agents.
            Exception: What a model or an environment raises ends the training of all, with a note whose it was. The
                models remain as they are then.
        """
        callbacks = callbacks or {}
        if unknown := set(callbacks) - set(self.models):
            raise ValueError(f"there are callbacks of {sorted(unknown)}, but models of {list(self.models)}")
        self._hub.run(
            total_timesteps, callbacks, reset_num_timesteps=reset_num_timesteps, progress_bar=progress_bar, **kwargs
        )
        return self

    def predict(self, observations: Mapping[str, Any], deterministic: bool = True) -> dict[str, Any]:
        """Actions of the agents that are observed, each by its model.

        Args:
            observations: Agent to observation, as the environment gives them (a mask may be in there, for MaskablePPO).
            deterministic: Whether to take the best action instead of drawing one.

        Raises:
            ValueError: For an agent that does not exist.
        """
        actions = {}
        for agent, observation in observations.items():
            learner = next((learner for learner in self._hub.learners if agent in learner.env.agents), None)
            if learner is None:
                raise ValueError(f"there is no agent {agent!r}; there are {self._hub.copies[0].possible_agents}")
            actions[agent] = learner.predict(agent, observation, deterministic)
        return actions

    def save(self, folder: str | Path) -> None:
        """Saves every model, and the statistics of its ``VecNormalize``, into one folder, which is made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        index = {}
        for number, (name, model) in enumerate(self.models.items()):
            file = f"{number}_{file_name(name)}"
            model.save(folder / f"{file}.zip")
            normalize = model.get_vec_normalize_env()
            if normalize is not None:
                normalize.save(str(folder / f"{file}.pkl"))
            where = f"{type(model).__module__}:{type(model).__qualname__}"
            index[name] = {"file": file, "class": where, "normalize": normalize is not None}
        (folder / INDEX).write_text(json.dumps({"models": index, "agent_indicator": self.agent_indicator}, indent=2))

    @classmethod
    def load(cls, folder: str | Path, env: EnvOrFactory, n_envs: int = 1, seed: int | None = None) -> Self:
        """Loads what ``save`` has saved. As SB3's models, they hold code: load only what you trust.

        Args:
            folder: Of the models.
            env: As in the constructor.
            n_envs: Likewise.
            seed: Likewise.

        Raises:
            FileNotFoundError: If the folder, or a model in it, is missing.
            ValueError: If a file is damaged.
        """
        folder = Path(folder)
        if not (folder / INDEX).exists():
            raise FileNotFoundError(f"{folder} holds no {INDEX}, so it was not written by IndependentLearners.save")
        try:
            saved = json.loads((folder / INDEX).read_text())
            factories = {name: _loader(folder, **entry) for name, entry in saved["models"].items()}
            agent_indicator = bool(saved["agent_indicator"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / INDEX} is damaged ({error!r}); the models beside it can be loaded") from error
        return cls(factories, env, n_envs, seed, agent_indicator)


def _loader(folder: Path, file: str, **entry: Any) -> Callable[[VecEnv], BaseAlgorithm]:
    module, _, name = entry["class"].partition(":")

    def load(env: VecEnv) -> BaseAlgorithm:
        if entry["normalize"]:
            env = VecNormalize.load(str(folder / f"{file}.pkl"), env)
        return getattr(importlib.import_module(module), name).load(folder / f"{file}.zip", env=env)

    return load


def _model(model: Model, env: VecEnv) -> BaseAlgorithm:
    if isinstance(model, BaseAlgorithm):
        model.set_env(env)
        return model
    if not callable(model):
        raise TypeError(f"expected an SB3 model or a function that makes one for a VecEnv, got {model!r}")
    made = model(env)
    if not isinstance(made, BaseAlgorithm):
        raise TypeError(f"the function returned {made!r}, which is no SB3 model")
    if made.env is None or made.env.unwrapped is not env:
        raise ValueError("the model was made for another environment; the function must use the one that it is given")
    return made


def _refuse_twins(models: Mapping[str, Model]) -> None:
    names: dict[int, str] = {}
    for name, model in models.items():
        twin = names.setdefault(id(model), name)
        if twin != name and isinstance(model, BaseAlgorithm):
            raise ValueError(
                f"{twin!r} and {name!r} are to have the same model, which can learn from one environment only; name"
                " its agents by one pattern (as in fnmatch), or give each a model of its own"
            )


def _assign(patterns: list[str], agents: list[str]) -> dict[str, list[str]]:
    """Whose agents are whose.

    >>> _assign(["adversary_*", "agent_0"], ["adversary_0", "adversary_1", "agent_0"])
    {'adversary_*': ['adversary_0', 'adversary_1'], 'agent_0': ['agent_0']}
    """
    groups = {pattern: [agent for agent in agents if fnmatchcase(agent, pattern)] for pattern in patterns}
    for pattern, members in groups.items():
        if not members:
            raise ValueError(f"there is a model for {pattern!r}, but no such agent; the agents are {agents}")
    for agent in agents:
        owners = [pattern for pattern, members in groups.items() if agent in members]
        if not owners:
            raise ValueError(f"{agent!r} has no model; there are models for {patterns} (patterns like 'agent_*' work)")
        if len(owners) > 1:
            raise ValueError(f"{agent!r} has {len(owners)} models, {owners}; it can obey only one")
    return groups
