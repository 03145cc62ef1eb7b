"""A training as plain data (``Recipe``), and what the commands share: read one, train by it, evaluate what came out.

Recipes come from hyperparameter files in RL Zoo's format, RL Zoo's own (for SB3's algorithms) and ours
(``hyperparams/``). RL Zoo runs some of their strings as Python; here nothing is run: see :func:`read_recipe`.
"""

import ast
import inspect
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, sync_envs_normalization

from sb3_ext.algos import load
from sb3_ext.vec_env import make_vec_env

SCHEDULES = ("learning_rate", "clip_range", "clip_range_high", "clip_range_vf", "ent_coef", "kl_coef")
UNSUPPORTED = (
    "callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "replay_buffer_class",
    "replay_buffer_kwargs", "vec_env_wrapper",
)  # fmt: skip
EVALUATION_SEED = 10_000_000  # far from the seeds of trainings, so that no episode is one that was trained on


@dataclass(frozen=True)
class Recipe:
    """A training, apart from the environment and the seed; plain data that can be compared, stored and sent.

    Attributes:
        algo: short name of the algorithm (``sb3-ext algos``).
        n_timesteps: environment steps, all environments together.
        n_envs: parallel environments.
        normalize: arguments of SB3's ``VecNormalize``; None does without it.
        hyperparams: arguments of the algorithm's class. "lin_0.001" decays from 0.001 to 0 over the training.
    """

    algo: str
    n_timesteps: int
    n_envs: int = 1
    normalize: dict[str, Any] | None = None
    hyperparams: dict[str, Any] = field(default_factory=lambda: {"policy": "MlpPolicy"})

    def arguments(self) -> dict[str, Any]:
        """The class's arguments, with schedules in place of their strings."""
        return {key: _schedule(value) if key in SCHEDULES else value for key, value in self.hyperparams.items()}

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, the class's defaults included, as plain data."""
        lineage = [cls for cls in reversed(load(self.algo).__mro__) if "__init__" in vars(cls)]
        parameters = [parameter for cls in lineage for parameter in inspect.signature(cls).parameters.values()]
        defaults = {
            parameter.name: parameter.default
            for parameter in parameters
            if isinstance(parameter.default, bool | int | float | str)
            and parameter.name not in ("seed", "verbose", "device", "_init_setup_model")
        }
        own = {"algo": self.algo, "n_timesteps": self.n_timesteps, "n_envs": self.n_envs, "normalize": self.normalize}
        return {**own, **defaults, **self.hyperparams}


def read_recipe(algo: str, env_id: str, file: Path | None = None) -> Recipe:
    """An entry of a hyperparameter file in RL Zoo's format, read without running any of it.

    Numbers, booleans, lists and names are taken as they stand, ``lin_<number>`` is a linear schedule, ``normalize``
    and ``policy_kwargs`` may be literals or ``dict(...)`` of literals, in quotes as RL Zoo writes them.

    Args:
        algo: short name of the algorithm.
        env_id: the entry.
        file: the file; by default ours for the algorithm if there is one, else RL Zoo's.

    Raises:
        ValueError: if there is no such entry, or it holds something else, for example code.
    """
    file = file or default_file(algo)
    entries = yaml.safe_load(file.read_text()) if file.exists() else {}
    if env_id not in entries:
        raise ValueError(f"{file} has no entry {env_id!r}; it has {', '.join(entries) or 'none'}")
    entry = dict(entries[env_id])
    try:
        n_timesteps, n_envs = int(entry.pop("n_timesteps")), int(entry.pop("n_envs", 1))
        normalize = read_normalize(entry.pop("normalize", False))
        return Recipe(
            algo, n_timesteps, n_envs, normalize, {key: read_value(key, value) for key, value in entry.items()}
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}, {env_id}: {error}") from error


def default_file(algo: str) -> Path:
    """Our hyperparameter file of an algorithm if there is one, else RL Zoo's."""
    ours = Path(__file__).parent / "hyperparams" / f"{algo}.yml"
    if ours.exists():
        return ours
    zoo = find_spec("rl_zoo3")  # found, not imported: that takes seconds
    if zoo is None or zoo.origin is None:
        raise ValueError("RL Zoo's hyperparameters need rl_zoo3: pip install rl_zoo3")
    return Path(zoo.origin).parent / "hyperparams" / f"{algo}.yml"


def train(
    recipe: Recipe,
    env_id: str,
    seed: int,
    backend: str = "auto",
    callback: MaybeCallback = None,
    device: str = "cpu",
    make_env: Callable[..., VecEnv] = make_vec_env,
) -> tuple[BaseAlgorithm, VecEnv]:
    """Make the environments and the model, and learn.

    Args:
        recipe: what to do.
        env_id: registered id.
        seed: of environments and model.
        backend: as in :func:`sb3_ext.vec_env.make_vec_env`; "dummy" is SB3's own function.
        callback: as in SB3's ``learn``.
        device: small networks are fastest on the CPU.
        make_env: makes the environments; takes the id, ``n_envs``, ``seed`` and ``backend``.

    Returns:
        The model, and its environments for the caller to close.
    """
    env = make_env(env_id, n_envs=recipe.n_envs, seed=seed, backend=backend)
    try:
        algorithm = load(recipe.algo)
        if recipe.normalize is not None:
            gamma = recipe.hyperparams.get("gamma", inspect.signature(algorithm).parameters["gamma"].default)
            env = VecNormalize(env, gamma=gamma, **recipe.normalize)
        model = algorithm(env=env, seed=seed, device=device, **recipe.arguments())
        return model.learn(recipe.n_timesteps, callback=callback), env
    except BaseException:
        env.close()
        raise


def evaluate(
    model: BaseAlgorithm, env_id: str, n_episodes: int = 100, seed: int = 0, n_envs: int = 20, backend: str = "auto"
) -> np.ndarray:
    """Returns of greedy episodes, by the raw reward, with the statistics of ``VecNormalize`` as training left them.

    Every environment plays the same number of episodes (or one more), so that short ones are not favoured.

    Returns:
        [n_episodes]
    """
    env = make_vec_env(env_id, n_envs=min(n_envs, n_episodes), seed=EVALUATION_SEED + seed, backend=backend)
    trained = model.get_vec_normalize_env()
    if trained is not None:
        env = VecNormalize(
            env,
            training=False,
            norm_obs=trained.norm_obs,
            norm_reward=False,
            clip_obs=trained.clip_obs,
            epsilon=trained.epsilon,
            norm_obs_keys=trained.norm_obs_keys,
        )
        sync_envs_normalization(trained, env)
    returns, _ = evaluate_policy(
        model, env, n_eval_episodes=n_episodes, deterministic=True, return_episode_rewards=True
    )
    env.close()
    return np.array(returns)


class EpisodeLog(BaseCallback):
    """Notes when training episodes ended and what they returned, and can stop the training at a target.

    It counts the episodes that ``rollout/ep_rew_mean`` counts: all, and with REINFORCE those within each environment's
    share (what an environment still ends beyond it are its short episodes).

    Args:
        target: stop once the mean over the last ``window`` episodes is at least this; None never stops.
        window: episodes in that mean.

    Attributes:
        timesteps: environment steps when each episode ended.
        returns: raw return of each episode.
        seconds: from making this object to the target, None until then.
    """

    def __init__(self, target: float | None = None, window: int = 100) -> None:
        super().__init__()
        self.target = target
        self.window = window
        self.timesteps: list[int] = []
        self.returns: list[float] = []
        self.seconds: float | None = None
        self._started = time.perf_counter()

    def _on_step(self) -> bool:
        ended = self.locals["dones"]
        if not ended.any():
            return True
        ended = ended & getattr(self.locals.get("rollout_buffer"), "active", True)
        episodes = [float(self.locals["infos"][i]["episode"]["r"]) for i in np.flatnonzero(ended)]
        self.timesteps += [self.num_timesteps] * len(episodes)
        self.returns += episodes
        if self.target is None or len(self.returns) < self.window:
            return True
        if np.mean(self.returns[-self.window :]) < self.target:
            return True
        self.seconds = time.perf_counter() - self._started
        return False


def read_normalize(value: Any) -> dict[str, Any] | None:
    """The arguments of ``VecNormalize``, or None for none."""
    if isinstance(value, bool):
        return {} if value else None
    value = _literal("normalize", value)
    if not isinstance(value, dict):
        raise ValueError(f"normalize must be true, false or a dict, got {value!r}")
    return value


def read_value(key: str, value: Any) -> Any:
    """A checked hyperparameter."""
    if key in UNSUPPORTED:
        raise ValueError(f"{key} is not supported here; train with rl_zoo3 itself")
    if key == "policy_kwargs":
        return _literal(key, value)
    if key in SCHEDULES:
        _schedule(value)  # refuses what is not a schedule
    elif isinstance(value, str) and not value.isidentifier():
        raise ValueError(f"{key} must be a number or a name, got {value!r}; code is not run")
    return tuple(value) if key == "train_freq" and isinstance(value, list) else value


def _schedule(value: Any) -> Any:
    """A number as it is, "lin_<number>" as a linear schedule to 0, "auto" (SAC's entropy) as it is."""
    if not isinstance(value, str) or value == "auto":
        return value
    number = re.fullmatch(r"lin_(\d*\.?\d+(?:e[+-]?\d+)?)", value)
    if number is None:
        raise ValueError(f"{value!r} is not a schedule; write a number (!!float 1e-3) or lin_<number> (lin_1e-3)")
    return LinearSchedule(float(number[1]), 0.0, 1.0)


def _literal(key: str, value: Any) -> Any:
    """A value as YAML gave it, or a string of a Python literal or ``dict(...)`` of literals, which is not run."""
    if not isinstance(value, str):
        return value
    try:
        return _evaluate_literal(ast.parse(value.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{key} must be a literal or dict(...) of literals, got {value!r}; code is not run") from error


def _evaluate_literal(node: ast.expr) -> Any:
    is_dict_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"
    if not is_dict_call:
        return ast.literal_eval(node)
    assert isinstance(node, ast.Call)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("dict() takes name=value here")
    return {str(keyword.arg): _evaluate_literal(keyword.value) for keyword in node.keywords}
