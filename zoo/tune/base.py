"""What is not searched: the entry of a hyperparameter file, or the class's defaults."""

from pathlib import Path
from typing import Any

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.zoo.hyperparameters import default_file, fallback, fitting_policy
from sb3_ext.zoo.search_spaces import SEARCH_SPACES
from sb3_ext.zoo.training import Recipe, read_normalize, read_value
from sb3_ext.zoo.tune.study import Recorder
from sb3_ext.zoo.yaml_check import read_entries


def base_recipe(
    algo: str, env_id: str, n_timesteps: int | None = None, file: Path | None = None
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe that trials start from, without what they search, and the arguments of the environment.

    Args:
        algo: short name of the algorithm; it has a search space.
        env_id: registered id.
        n_timesteps: instead of the file's.
        file: hyperparameter file; by default ours for the algorithm if there is one, else RL Zoo's. An environment
            without an entry gets "default", and without that what ``hyperparams/default.yml`` says.

    Raises:
        ValueError: if a given file has no such entry, or an entry holds what ``sb3-ext tune`` cannot do.
    """
    source = file or default_file(algo)
    entries = read_entries(source) if file is not None or source.exists() else {}
    if file is not None and not entries.keys() & {env_id, "default"}:
        raise ValueError(f"{file} has no entry {env_id!r}; it has {', '.join(entries) or 'none'}")
    entry = dict(entries.get(env_id) or entries.get("default") or fallback(algo))
    env_kwargs = entry.pop("env_kwargs", {})
    if not isinstance(env_kwargs, dict):
        raise ValueError(f"{source}, {env_id}: env_kwargs must be a mapping, got {env_kwargs!r}")
    if env_id not in entries or "policy" not in entry:
        entry["policy"] = fitting_policy(algo, env_id, env_kwargs, entry.get("policy"))
    try:
        n_timesteps = n_timesteps or int(entry["n_timesteps"])
        n_envs, normalize = int(entry.get("n_envs", 1)), read_normalize(entry.get("normalize", False))
        searched = {"n_timesteps", "n_envs", "normalize", *SEARCH_SPACES[algo](Recorder())}
        hyperparams = {key: read_value(key, value) for key, value in entry.items() if key not in searched}
    except KeyError as error:
        raise ValueError(f"{source}, {env_id}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise ValueError(f"{source}, {env_id}: {error}") from error
    return Recipe(algo, n_timesteps, n_envs, normalize, hyperparams), env_kwargs
