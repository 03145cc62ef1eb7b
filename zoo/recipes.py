"""A training as plain data (``Recipe``), read from hyperparameter files in RL Zoo's format: RL Zoo's own and ours.

RL Zoo runs some of their strings as Python; here nothing is run, see ``yaml_check.py``.
"""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.algos import load
from sb3_ext.zoo.hyperparameters import SCHEDULES, default_file, fallback, fitting_policy, is_written, schedule
from sb3_ext.zoo.yaml_check import evaluate_literal, read_entries

UNSUPPORTED = (
    "callback", "env_wrapper", "frame_stack", "monitor_kwargs", "replay_buffer_class", "replay_buffer_kwargs",
    "vec_env_wrapper",
)  # fmt: skip
"""What only ``sb3-ext train`` does, which is RL Zoo's."""


@dataclass(frozen=True)
class Recipe:
    """A training, apart from the environment's id and the seed; plain data that can be compared, stored and sent.

    Attributes:
        algo: short name of the algorithm (``sb3-ext algos``).
        n_timesteps: environment steps, all environments together.
        n_envs: parallel environments.
        normalize: arguments of SB3's ``VecNormalize``; None does without it.
        hyperparams: arguments of the algorithm's class. "lin_0.001" decays from 0.001 to 0 over the training; RL Zoo's
            ``noise_type`` and ``noise_std`` say how TD3 and DDPG explore.
        env_kwargs: arguments of the environment, ``max_episode_steps`` included.
    """

    algo: str
    n_timesteps: int
    n_envs: int = 1
    normalize: dict[str, Any] | None = None
    hyperparams: dict[str, Any] = field(default_factory=lambda: {"policy": "MlpPolicy"})
    env_kwargs: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """The class's arguments, with schedules and classes in place of their names."""
        arguments = dict(self.hyperparams)
        for key, value in self.hyperparams.items():
            if key in SCHEDULES and is_written(value):
                arguments[key] = schedule(value)
            elif key == "policy_kwargs" and isinstance(value, str):
                arguments[key] = evaluate_literal(value, with_classes=True)
        return arguments

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
        if self.env_kwargs:
            own["env_kwargs"] = self.env_kwargs
        return {**own, **defaults, **self.hyperparams}

    def entry(self) -> dict[str, Any]:
        """As an entry of a hyperparameter file, which RL Zoo and :func:`read_recipe` take.

        Example:
            >>> Recipe("ppo", 1000, 8, None, {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [64]}}).entry()
            {'n_timesteps': 1000, 'n_envs': 8, 'policy': 'MlpPolicy', 'policy_kwargs': "{'net_arch': [64]}"}
        """
        entry: dict[str, Any] = {"n_timesteps": self.n_timesteps, "n_envs": self.n_envs}
        if self.env_kwargs:
            entry["env_kwargs"] = self.env_kwargs
        if self.normalize is not None:
            entry["normalize"] = repr(self.normalize) if self.normalize else True
        for key, value in self.hyperparams.items():
            value = list(value) if isinstance(value, tuple) else value
            entry[key] = repr(value) if isinstance(value, dict) else value
        return entry


def read_recipe(
    algo: str, env_id: str, file: Path | None = None, n_timesteps: int | None = None, leave_out: Iterable[str] = ()
) -> Recipe:
    """The recipe that a hyperparameter file holds for an environment, read without running any of it.

    Numbers, booleans, lists and names are taken as they stand, ``lin_<number>`` is a linear schedule, ``normalize``
    and ``policy_kwargs`` may be literals or ``dict(...)`` of literals, in quotes as RL Zoo writes them.

    Args:
        algo: short name of the algorithm.
        env_id: registered id; what stands before a colon is imported and is not part of an entry's name.
        file: the file; by default ours for the algorithm if there is one, else RL Zoo's. There an environment without
            an entry gets "default", and without that what ``hyperparams/default.yml`` says.
        n_timesteps: instead of the file's.
        leave_out: keys of the entry that are not wanted, and may hold anything.

    Raises:
        ValueError: if a given file has no such entry, or an entry holds something else, for example code.
    """
    source = file or default_file(algo)
    name = env_id.rpartition(":")[2]
    entries = read_entries(source) if file is not None or source.exists() else {}
    if file is not None and not entries.keys() & {name, "default"}:
        raise ValueError(f"{file} has no entry {name!r}; it has {', '.join(entries) or 'none'}")
    entry = dict(entries.get(name) or entries.get("default") or fallback(algo))
    env_kwargs = entry.pop("env_kwargs", {})
    if not isinstance(env_kwargs, dict):
        raise ValueError(f"{source}, {name}: env_kwargs must be a mapping, got {env_kwargs!r}")
    if name not in entries or "policy" not in entry:
        entry["policy"] = fitting_policy(algo, env_id, env_kwargs, entry.get("policy"))
    try:
        n_timesteps = n_timesteps or int(entry["n_timesteps"])
        n_envs, normalize = int(entry.get("n_envs", 1)), _normalize(entry.get("normalize", False))
        apart = {"n_timesteps", "n_envs", "normalize", *leave_out}
        hyperparams = {key: _value(key, value) for key, value in entry.items() if key not in apart}
    except KeyError as error:
        raise ValueError(f"{source}, {name}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise ValueError(f"{source}, {name}: {error}") from error
    return Recipe(algo, n_timesteps, n_envs, normalize, hyperparams, env_kwargs)


def has_entry(algo: str, env_id: str) -> bool:
    """Whether the hyperparameter file of an algorithm lists an environment."""
    file = default_file(algo)
    return file.exists() and env_id.rpartition(":")[2] in read_entries(file)


def _normalize(value: Any) -> dict[str, Any] | None:
    """The arguments of ``VecNormalize``, or None for none."""
    if isinstance(value, bool):
        return {} if value else None
    value = evaluate_literal(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise ValueError(f"normalize must be true, false or a dict, got {value!r}")
    return value


def _value(key: str, value: Any) -> Any:
    """A hyperparameter as plain data; ``policy_kwargs`` that name a class stay text."""
    if key in UNSUPPORTED:
        raise ValueError(f"{key} is not supported here; use `sb3-ext train`")
    if key == "policy_kwargs" and isinstance(value, str):
        try:
            return evaluate_literal(value)
        except ValueError:
            evaluate_literal(value, with_classes=True)
    return tuple(value) if key == "train_freq" and isinstance(value, list) else value
