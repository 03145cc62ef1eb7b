"""Makes our algorithms, environments, hyperparameter files and search spaces known to RL Zoo, in place.

For a script of your own that runs RL Zoo:

    from sb3_ext.zoo import register

    register()
    from rl_zoo3.train import train

    train()  # python my_script.py --algo reinforce --env CartPole-v1

``sb3-ext train``, ``enjoy`` and ``record-video`` do the same.
"""

import sys
from collections.abc import Callable
from typing import Any

RL_ZOO_MODULES = ("benchmark", "enjoy", "exp_manager", "record_training", "record_video", "train")
"""RL Zoo's modules that use its ``ExperimentManager``."""


def register() -> None:
    """Adds to RL Zoo what it lacks; calling it again changes nothing.

    - ``rl_zoo3.ALGOS``: every algorithm of ``sb3_ext.algos`` that is not in it, MaskablePPO (``ppo_mask``) too.
    - Gymnasium's registry: the ids of ``sb3_ext.envs``.
    - ``ExperimentManager``: our hyperparameter files (``zoo/hyperparams``), checked before they are used, and
      ``vec_env_type="auto"``: see :mod:`sb3_ext.zoo.manager`.
    - ``HYPERPARAMS_SAMPLER``, ``HYPERPARAMS_CONVERTER``: our search spaces, for its ``-optimize``.

    RL Zoo itself, once imported, replaces Gymnasium's ``TimeLimit`` for the whole process.
    """
    import rl_zoo3
    import rl_zoo3.exp_manager

    import sb3_ext.envs  # noqa: F401  registers the ids
    from sb3_ext.algos import TABLE, load
    from sb3_ext.zoo.manager import Manager

    for name in TABLE:
        if name not in rl_zoo3.ALGOS:
            rl_zoo3.ALGOS[name] = load(name)
    for name in RL_ZOO_MODULES:
        module = sys.modules.get(f"rl_zoo3.{name}")
        if module is not None:  # else it will find ours in exp_manager
            module.ExperimentManager = Manager  # type: ignore[attr-defined]
    _register_search_spaces()


def _register_search_spaces() -> None:
    """Ours are functions of the trial; RL Zoo's take three arguments more, and have an inverse for stored trials."""
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    from sb3_ext.zoo.search_spaces import SEARCH_SPACES

    for name, space in SEARCH_SPACES.items():
        if name not in HYPERPARAMS_SAMPLER:
            HYPERPARAMS_SAMPLER[name] = _sampler(space)
            HYPERPARAMS_CONVERTER[name] = _converter(space)


def _sampler(space: Callable[[Any], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    from sb3_ext.zoo.manager import Manager

    def sample(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
        del n_actions, n_envs, additional_args
        return Manager._preprocess_schedules(space(trial))

    return sample


def _converter(space: Callable[[Any], dict[str, Any]]) -> Any:
    def convert(sampled_params: dict[str, Any]) -> dict[str, Any]:
        from optuna.trial import FixedTrial

        return space(FixedTrial(sampled_params))

    return convert
