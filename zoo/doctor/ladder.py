"""Examines an algorithm: ``sb3-ext doctor --algo`` climbs a ladder of sanity checks.

    1  one transition     can it learn what the only step there is is worth?   (if not: the network or the loss)
    2  two transitions    and what comes before it, and that nothing follows?  (if not: discount, bootstrap, mask)
    3  a trivial world    does it learn to do what it sees?                    (if not: the loop, the policy's loss)
    4  a known world      does it get what others got, with as many steps?     (if not: hyperparameters, details)

Each asks for more than the one before; the first that fails says where to look, and those above it are not climbed.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.algos import TABLE, load
from sb3_ext.zoo.doctor.callback import DoctorCallback
from sb3_ext.zoo.doctor.finding import Finding
from sb3_ext.zoo.doctor.ladder_settings import GAMMA, REFERENCES, SETTINGS
from sb3_ext.zoo.doctor.probes import best_actions, smallest
from sb3_ext.zoo.doctor.worlds import MatchState, OneTransition, ProbeWorld, RightAction, TwoTransitions

CLOSE = 0.1  # how far a learned value of about 1 may be off
SOLVED = 0.9  # of a mean return of at most 1


class Rung(NamedTuple):
    """What came out on one rung."""

    name: str
    passed: bool
    saw: str
    means: str
    """what is likely, where it failed"""
    findings: tuple[Finding, ...] = ()
    """warning signs of its training"""


def nearest(algorithm: type[BaseAlgorithm]) -> str:
    """The short name of the class itself, or of the nearest base class that has one.

    Raises:
        ValueError: if it descends from none of them.
    """
    classes = {load(name): name for name in TABLE}
    for cls in algorithm.__mro__:
        if cls in classes:
            return classes[cls]
    raise ValueError(f"{algorithm.__name__} descends from no algorithm of `sb3-ext algos`: no setting is known for it")


def climb(algorithm: type[BaseAlgorithm], seed: int = 0, references: bool = True) -> Iterator[Rung]:
    """The rungs, one after the other, until one fails.

    Args:
        algorithm: a class of ``sb3-ext algos``, or one that descends from it.
        seed: of environments and model.
        references: whether to climb the last rung, which takes minutes.

    Raises:
        ValueError: if it descends from none of them.
    """
    name = nearest(algorithm)
    for title, (rung, means) in RUNGS.items():
        if rung is known_world and not references:
            return
        try:
            passed, saw, *findings = rung(algorithm, name, seed)
        except Exception as error:  # whatever an algorithm raises
            passed, saw, findings = False, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", []
        yield Rung(title, passed, saw, means, *findings)
        if not passed:
            return


# ---- Rungs ----------------------------------------------------------------------------------------------------------


def one_transition(algorithm: type[BaseAlgorithm], name: str, seed: int) -> tuple[bool, str]:
    """The value of the only state is 1; without a critic: the greedy action is the one that pays."""
    model = learn(algorithm, name, OneTransition, seed)
    value = value_of(model, 0)
    if value is None:
        return reaches(learn(algorithm, name, RightAction, seed), SOLVED)
    return abs(value - 1) < CLOSE, f"the value is {value:.3f}, and should be 1"


def two_transitions(algorithm: type[BaseAlgorithm], name: str, seed: int) -> tuple[bool, str]:
    """The values are gamma and 1; without a critic there is nothing to see."""
    model = learn(algorithm, name, TwoTransitions, seed)
    first, second = value_of(model, 0), value_of(model, 1)
    if first is None or second is None:
        return True, "it has no critic"
    fine = abs(first - GAMMA) < CLOSE and abs(second - 1) < CLOSE
    return fine, f"the values are {first:.3f} and {second:.3f}, and should be {GAMMA} and 1"


def trivial_world(algorithm: type[BaseAlgorithm], name: str, seed: int) -> tuple[bool, str]:
    """The greedy policy does what the state says."""
    return reaches(learn(algorithm, name, MatchState, seed), SOLVED)


def known_world(algorithm: type[BaseAlgorithm], name: str, seed: int) -> tuple[bool, str, tuple[Finding, ...]]:
    """The greedy policy gets what it should, from as many steps."""
    from sb3_ext.vec_env import make_vec_env
    from sb3_ext.zoo.recipes import read_recipe
    from sb3_ext.zoo.training import evaluate

    known = REFERENCES[name]
    recipe = read_recipe(known.recipe_of, known.env_id, n_timesteps=known.n_timesteps)
    arguments = {**recipe.arguments(), **deepcopy(known.settings)}
    if arguments.pop("noise_type", None) is not None:
        std = arguments.pop("noise_std", 0.1)
        arguments["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, std))
    env = make_vec_env(known.env_id, n_envs=recipe.n_envs, seed=seed, env_kwargs=recipe.env_kwargs)
    made: Any = algorithm
    doctor = DoctorCallback(verbose=0)
    model = made(env=env, seed=seed, device="cpu", **arguments).learn(known.n_timesteps, callback=doctor)
    env.close()
    mean = float(evaluate(model, known.env_id, known.n_episodes).mean())
    saw = f"{mean:.4g} on {known.env_id} after {known.n_timesteps:,} steps; at least {known.at_least:g} is asked for"
    return mean >= known.at_least, saw, tuple(doctor.findings)


RUNGS: dict[str, tuple[Callable[..., Any], str]] = {
    "one transition": (one_transition, "the network, the loss or its target is wrong, or nothing is learned at all"),
    "two transitions": (two_transitions, "discount, bootstrap or terminal mask is wrong"),
    "a trivial world": (trivial_world, "the training loop or the policy's loss is wrong"),
    "a known world": (known_world, "hyperparameters, or a detail of the implementation"),
}
"""What is climbed, and what is likely where it fails."""


# ---- What they need -------------------------------------------------------------------------------------------------


def learn(algorithm: type[BaseAlgorithm], name: str, world: type[ProbeWorld], seed: int) -> Any:
    """A model that has been trained in a probe world."""
    setting = SETTINGS[name]
    kwargs = {"actions": setting.actions, "tabular": setting.tabular}
    env = make_vec_env(world, n_envs=setting.n_envs, seed=seed, env_kwargs=kwargs)
    arguments = deepcopy(setting.arguments) | ({} if name == "ars" else {"gamma": GAMMA})
    policy: Any = "LinearPolicy" if name == "ars" else setting.policy
    made: Any = algorithm
    return made(policy, env, seed=seed, device="cpu", **arguments).learn(setting.n_timesteps)


def value_of(model: Any, state: int) -> float | None:
    """What the critic says of a state of a probe world; None if there is none that is trained."""
    policy = model.policy
    if hasattr(policy, "q_table"):
        return float(policy.q_table[state].max())
    policy.set_training_mode(False)
    observation = _tensor(policy, state)
    with th.no_grad():
        if hasattr(policy, "q_net"):
            return float(policy.q_net(observation).max())
        if hasattr(policy, "quantile_net"):
            return float(policy.quantile_net(observation).mean(dim=1).max())
        if hasattr(policy, "actor") and hasattr(policy, "critic"):
            return float(smallest(policy.critic(observation, best_actions(policy.actor, observation))))
        if "train/value_loss" not in model.logger.name_to_value:
            return None
        if hasattr(policy, "lstm_actor"):
            return _value_with_memory(policy, state)
        return float(policy.predict_values(observation))


def _tensor(policy: Any, state: int) -> Any:
    return policy.obs_to_tensor(np.array([[2.0 * state - 1.0]], np.float32))[0]


def _value_with_memory(policy: Any, state: int) -> float:
    """A policy with LSTMs sees the states one after the other, as in an episode."""
    nothing = th.zeros(policy.lstm_actor.num_layers, 1, policy.lstm_actor.hidden_size)
    memory, value = RNNStates((nothing, nothing), (nothing, nothing)), 0.0
    for each in range(state + 1):
        _, value, _, memory = policy(_tensor(policy, each), memory, th.tensor([float(each == 0)]), deterministic=True)
    return float(value)


def reaches(model: Any, at_least: float, n_episodes: int = 20) -> tuple[bool, str]:
    """Whether greedy episodes in the model's own world return enough."""
    env: VecEnv = model.get_env()
    observations: Any = env.reset()
    returns: list[float] = []
    while len(returns) < n_episodes:
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, _, _ = env.step(actions)
        returns += rewards.tolist()
    mean = float(np.mean(returns))
    return mean >= at_least, f"greedy episodes return {mean:.3f} of 1"
