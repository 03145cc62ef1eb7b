"""Which hyperparameter file holds for an algorithm, and whether its class takes what stands there."""

import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule

from sb3_ext.algos import load
from sb3_ext.zoo.yaml_check import SCHEDULES as SCHEDULES_OF_RL_ZOO

FOLDER = Path(__file__).parent / "hyperparams"
FALLBACK = FOLDER / "default.yml"
OF_RL_ZOO = (
    "callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "n_envs", "n_timesteps", "noise_std",
    "noise_type", "normalize", "vec_env_wrapper",
)  # fmt: skip
"""Keys of a hyperparameter file that RL Zoo takes for itself; all others go to the algorithm's class."""
BY_OPTION = {"device": "--device", "env": "--env", "seed": "--seed", "tensorboard_log": "-tb", "verbose": "--verbose"}
SCHEDULES = (*SCHEDULES_OF_RL_ZOO, "clip_range_high", "ent_coef", "kl_coef")


def default_file(algo: str) -> Path:
    """Our hyperparameter file of an algorithm if there is one, else RL Zoo's, whether that exists or not."""
    ours = FOLDER / f"{algo}.yml"
    if ours.exists():
        return ours
    zoo = find_spec("rl_zoo3")  # found, not imported: that takes seconds
    assert zoo is not None
    assert zoo.origin is not None
    return Path(zoo.origin).parent / "hyperparams" / f"{algo}.yml"


def fallback(algo: str) -> dict[str, Any]:
    """What is set for an environment without an entry, beside the policy."""
    entries = yaml.safe_load(FALLBACK.read_text())
    return {**entries["default"], **entries.get(algo, {})}


def fitting_policy(algo: str, env_id: str, env_kwargs: dict[str, Any], wished: str | None = None) -> str:
    """The algorithm's policy for the environment's observations: for images, for a Dict, or for the rest.

    Args:
        algo: Short name of the algorithm.
        env_id: Registered id.
        env_kwargs: For the environment's constructor.
        wished: Taken where it is one of the algorithm's and the observations are neither images nor a Dict.
    """
    env = gym.make(env_id, **env_kwargs)
    space = env.observation_space
    env.close()
    kind = "MultiInput" if isinstance(space, spaces.Dict) else "Cnn" if is_image_space(space) else "Mlp"
    aliases = list(load(algo).policy_aliases)
    if wished is not None and kind == "Mlp" and (wished in aliases or "." in wished):
        return wished
    return next((alias for alias in aliases if alias.startswith(kind)), aliases[0])


def is_written(value: Any) -> bool:
    """Whether it is a schedule as text: "lin_0.01", "1/N" or "lin_1/N^0.5"."""
    return isinstance(value, str) and re.match(r"lin_|\d*\.?\d+/N", value) is not None


def schedule(value: str) -> LinearSchedule | str:
    """A linear schedule to 0 from "lin_<number>"; what is divided by visits stays text."""
    return value if "/N" in value else LinearSchedule(float(value.removeprefix("lin_")), 0.0, 1.0)


def parameters(algorithm: type[BaseAlgorithm]) -> Iterator[inspect.Parameter]:
    """What a class's constructor takes by name, with what it hands on to its base class."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for cls in algorithm.__mro__:
        if "__init__" in vars(cls):
            own = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
            yield from (parameter for parameter in own if parameter.kind in by_name)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
                return


def check_arguments(algo: str, hyperparams: dict[str, Any]) -> None:
    """Refuses what neither RL Zoo nor the algorithm's class takes, and text where the class wants a number.

    Raises:
        ValueError: It names the first, and what the class takes.
    """
    cls = load(algo)
    taken = {each.name: each.default for each in parameters(cls) if each.name not in (*BY_OPTION, "_init_setup_model")}
    for name, value in hyperparams.items():
        if name in BY_OPTION:
            raise ValueError(f"{name} is not a hyperparameter here; use {BY_OPTION[name]}")
        if name not in taken and name not in OF_RL_ZOO:
            raise ValueError(f"{cls.__name__} does not take {name!r}; it takes {', '.join(sorted(taken))}")
        is_number = isinstance(taken.get(name), int | float)
        if is_number and _is_no_number(value) and name != "train_freq" and not _may_fall(cls, name, value):
            wanted = "true or false" if isinstance(taken[name], bool) else "a number"
            raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _is_no_number(value: Any) -> bool:
    return isinstance(value, str | list | dict)


def _may_fall(cls: type[BaseAlgorithm], name: str, value: Any) -> bool:
    """Whether a schedule may stand there: SB3 takes none for its entropy coefficients."""
    ours = cls.__module__.startswith("sb3_ext.")
    return name in SCHEDULES and is_written(value) and (ours or name != "ent_coef")
