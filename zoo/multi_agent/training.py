"""Training by an example's recipes, with learning curves of its teams."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from sb3_ext.algos import load
from sb3_ext.multi_agent import (
    AliveRolloutBuffer,
    CentralizedCriticPolicy,
    CentralizedObservation,
    IndependentLearners,
    PettingZooVecEnv,
)
from sb3_ext.multi_agent.hub import file_name
from sb3_ext.zoo.multi_agent.examples import TUTORIAL, Example
from sb3_ext.zoo.recipes import Recipe


@dataclass
class Trained:
    """What a training left.

    Attributes:
        models: By agent or pattern.
        curves: Of each team: environment steps when episodes ended, and their returns.
        interrupted: Whether Ctrl-C ended it.
    """

    models: dict[str, BaseAlgorithm]
    curves: dict[str, tuple[list[int], list[float]]]
    interrupted: bool = False

    def player_of(self, agent: str) -> BaseAlgorithm:
        """Who plays an agent."""
        return next(model for pattern, model in self.models.items() if fnmatchcase(agent, pattern))

    def save(self, folder: Path) -> list[Path]:
        """Writes a file for each model."""
        files = [folder / f"model_{file_name(pattern)}.zip" for pattern in self.models]
        for file, model in zip(files, self.models.values(), strict=True):
            model.save(file)
        return files


class TeamCurves(BaseCallback):
    """Notes the return of each team in every episode, and counts the environment's steps for a progress bar.

    Args:
        teams: Name to pattern of the agents.
        progress: Is told how many steps were made.
    """

    def __init__(self, teams: dict[str, str], progress: Callable[[int], Any] = lambda n: None) -> None:
        super().__init__()
        self.teams = teams
        self.progress = progress
        self.curves: dict[str, tuple[list[int], list[float]]] = {team: ([], []) for team in teams}
        self._returns: list[dict[str, float]] = []
        self._n_steps = 0

    def _on_step(self) -> bool:
        env: Any = self.training_env.unwrapped
        self._returns = self._returns or [dict.fromkeys(self.teams, 0.0) for _ in env.copies]
        for copy, returns in zip(env.copies, self._returns, strict=True):
            for agent, end in copy.ends.items():
                for team, pattern in self.teams.items():
                    returns[team] += end.episode["r"] * fnmatchcase(agent, pattern)
            if copy.restarted:
                for team, (steps, ended) in self.curves.items():
                    steps.append(env.env_steps)
                    ended.append(returns[team])
                    returns[team] = 0.0
        self.progress(env.env_steps - self._n_steps)
        self._n_steps = env.env_steps
        return True


def with_options(models: dict[str, Recipe], n_timesteps: int | None, n_envs: int | None) -> dict[str, Recipe]:
    """The recipes with other numbers of steps and copies, where they are given."""
    return {
        pattern: replace(recipe, n_timesteps=n_timesteps or recipe.n_timesteps, n_envs=n_envs or recipe.n_envs)
        for pattern, recipe in models.items()
    }


def train(
    example: Example,
    way: str,
    models: dict[str, Recipe],
    seed: int,
    progress: Callable[[int], Any] = lambda n: None,
    callbacks: dict[str, BaseCallback] | None = None,
) -> Trained:
    """Trains until done or interrupted.

    Args:
        example: The environment and its teams.
        way: One of the example's.
        models: Agent or pattern to recipe; the first one's numbers of steps and copies hold for all.
        seed: Of environments and models.
        progress: Is told how many steps of the environment were made.
        callbacks: More of them, by agent or pattern; "shared" and "centralized" have one.
    """
    torch.set_num_threads(1)
    log = TeamCurves(example.teams, progress)
    first = next(iter(models.values()))
    own: dict[str, Any] = {pattern: [callback] for pattern, callback in (callbacks or {}).items()}
    own[next(iter(models))] = [log, *own.get(next(iter(models)), [])]
    if way == "independent":
        makers = {pattern: partial(make_model, recipe) for pattern, recipe in models.items()}
        learners = IndependentLearners(makers, example.make_env, first.n_envs, seed)
        trained = Trained(learners.models, log.curves)
        learn: Callable[[], Any] = partial(learners.learn, first.n_timesteps, own)
    else:
        (pattern,) = models
        env = shared_env(example, way, first.n_envs, seed)
        deaths = {"rollout_buffer_class": AliveRolloutBuffer} if example.settings.get("deaths") else {}
        trained = Trained({pattern: make_model(first, env, seed=seed, **deaths)}, log.curves)
        n_agents = len(env.unwrapped.agents)  # type: ignore[attr-defined]
        learn = partial(trained.models[pattern].learn, first.n_timesteps * n_agents, own[pattern])
    try:
        learn()
    except KeyboardInterrupt:
        trained.interrupted = True
    return trained


def tutorial(example: Example, n_steps: int, seed: int, progress: Callable[[int], Any] = lambda n: None) -> Trained:
    """Trains as PettingZoo's tutorials of SB3 do: SuperSuit's chain, and PPO.

    The seed goes to Python, NumPy and torch, since ``PPO(seed=...)`` fails on that chain, whose copies of the
    environment take no seed.
    """
    from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1

    torch.set_num_threads(1)
    set_random_seed(seed)
    env = example.make_env()
    env.reset(seed=seed)
    n_agents = len(env.possible_agents)
    rows = concat_vec_envs_v1(
        pettingzoo_env_to_vec_env_v1(env), TUTORIAL.n_envs, num_cpus=1, base_class="stable_baselines3"
    )
    rows.render_mode = None  # SB3 warns where it is missing
    model = make_model(TUTORIAL, VecMonitor(rows))
    log = _RowCurve(n_agents, progress)
    model.learn(n_steps * n_agents, log)
    return Trained({"*": model}, dict.fromkeys(example.teams, (log.steps, log.returns)))


class _RowCurve(BaseCallback):
    """The team's return in every episode, from rows whose episodes end together.

    Args:
        n_agents: Rows of a copy.
        progress: Is told how many steps of the environment were made.
    """

    def __init__(self, n_agents: int, progress: Callable[[int], Any]) -> None:
        super().__init__()
        self.n_agents, self.progress = n_agents, progress
        self.steps: list[int] = []
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        for first in range(0, len(infos), self.n_agents):
            episodes = [info["episode"]["r"] for info in infos[first : first + self.n_agents] if "episode" in info]
            if len(episodes) == self.n_agents:
                self.steps.append(self.num_timesteps // self.n_agents)
                self.returns.append(float(sum(episodes)))
        self.progress(len(infos) // self.n_agents)
        return True


def shared_env(example: Example, way: str, n_envs: int, seed: int | None) -> VecEnv:
    """The rows of all agents, with the state where the critic is to see it."""
    env: VecEnv = PettingZooVecEnv(example.make_env, n_envs, seed)
    return CentralizedObservation(env) if way == "centralized" else env


def make_model(recipe: Recipe, env: VecEnv, **more: Any) -> BaseAlgorithm:
    """The model of a recipe."""
    arguments = recipe.arguments()
    if arguments.get("policy") == CentralizedCriticPolicy.__name__:
        arguments["policy"] = CentralizedCriticPolicy
    return load(recipe.algo)(env=env, device="cpu", **arguments, **more)
