"""``td_target``, ``q_learning_update`` and ``shaping_reward``: numbers from one step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th

from sb3_ext import common
from sb3_ext.zoo.check.exercise import Case, Exercise, Floats, Slips, generator
from sb3_ext.zoo.check.exercises import oracle

# ---- td_target ------------------------------------------------------------------------------------------------------

TARGET_MISTAKES = {
    "no-terminal-mask": "forgot the terminal mask: where S' is terminal it is worth 0, so the target is R alone",
    "inverted-mask": "has the terminal mask the wrong way round: it looks ahead where S' is terminal, and only there",
    "mask-on-reward": "masks the reward as well: where S' is terminal the target is R, not 0",
    "reward-missing": "forgot the reward",
    "no-gamma": "forgot gamma",
    "gamma-on-everything": "discounts the reward as well: gamma (R + V(S')), not R + gamma V(S')",
    "gamma-on-the-wrong-term": "discounts the reward and not the value: gamma R + V(S'), not R + gamma V(S')",
    "no-bootstrap": "never looks ahead: the target is the reward alone",
    "minus": "subtracts the discounted value where it should add it",
    "only-gamma-masked": "masks gamma, not the value: where S' is terminal it adds V(S') undiscounted",
    "one-minus-gamma": "weighs the reward with 1 - gamma: R + gamma V(S'), not (1 - gamma) R + gamma V(S')",
    "tilde": "inverts a Python bool with ~, which gives -1 and -2: write `not terminated` or `1 - terminated`",
    "sign": "has the wrong sign",
}


def target_with(slips: Slips, reward: float, gamma: float, next_value: float, terminated: bool) -> float:
    """R + gamma V(S'), or R where S' is terminal."""
    own = 0.0 if "reward-missing" in slips else reward * (1 - terminated if "mask-on-reward" in slips else 1)
    going_on = terminated if "inverted-mask" in slips else ~bool(terminated) if "tilde" in slips else 1 - terminated
    going_on = 1 if "no-terminal-mask" in slips else 0 if "no-bootstrap" in slips else going_on
    discount = 1.0 if slips & {"no-gamma", "gamma-on-the-wrong-term"} else gamma
    if "only-gamma-masked" in slips:
        discount, going_on = (1.0, 1) if terminated else (gamma, 1)
    own *= gamma if slips & {"gamma-on-everything", "gamma-on-the-wrong-term"} else 1.0
    own *= 1 - gamma if "one-minus-gamma" in slips else 1.0
    target = own + (-1 if "minus" in slips else 1) * discount * next_value * going_on
    return -target if "sign" in slips else target


def _td_target(reward: float, gamma: float, next_value: float, terminated: bool) -> float:
    numbers = (th.tensor([float(number)], dtype=th.float64) for number in (reward, next_value, terminated))
    rewards, next_values, ends = numbers
    return common.td_target(rewards, gamma, next_values, ends).item()


def _target_cases() -> list[Case]:
    rng = generator("td_target")

    def case(name: str, *arguments: Any, **known: float) -> Case:
        names = ("reward", "gamma", "next_value", "terminated")
        return Case(name, dict(zip(names, arguments, strict=True)), known=known)

    cases = [
        case("the episode goes on", 1.0, 0.5, 4.0, False, result=3),
        case("the episode terminates", 1.0, 0.5, 4.0, True, result=1),
        case("no reward on the way", 0.0, 0.9, 10.0, False, result=9),
        case("terminates without a reward", 0.0, 0.9, 10.0, True, result=0),
        case("negative reward and value", -1.0, 0.9, -10.0, False, result=-10),
        case("terminates with a penalty", -100.0, 0.9, -10.0, True, result=-100),
        case("gamma 0", 2.0, 0.0, 5.0, False, result=2),
        case("gamma 1", 2.0, 1.0, 5.0, False, result=7),
        case("gamma 1, terminates", 2.0, 1.0, 5.0, True, result=2),
    ]
    for i in range(8):
        reward, value = rng.normal(0.0, 3.0, size=2).round(2)
        gamma = round(rng.uniform(0.3, 0.99), 2)
        cases.append(case(f"random {i + 1}", float(reward), gamma, float(value), i % 3 == 2))
    return [*cases, oracle.td_target_case()]


# ---- q_learning_update ----------------------------------------------------------------------------------------------

UPDATE_MISTAKES = {
    "no-terminal-mask": "forgot the terminal mask: where S' is terminal it is worth 0, so the target is R alone",
    "inverted-mask": "has the terminal mask the wrong way round: it looks ahead where S' is terminal, and only there",
    "mask-on-reward": "masks the reward as well: where S' is terminal the target is R, not 0",
    "no-update-at-the-end": "learns nothing from a step that terminates: Q(S, A) should move towards R there",
    "replaces": "forgot the learning rate: it replaces Q(S, A) with the target, and should move part of the way",
    "rate-on-target-only": "forgot to subtract Q(S, A): it adds learning_rate times the target",
    "rate-swapped": "has learning_rate and 1 - learning_rate the wrong way round",
    "target-without-rate": "takes off learning_rate Q(S, A) but adds the whole target",
    "returns-change": "gives the change, learning_rate times the TD error, where the new Q(S, A) is asked for",
    "returns-error": "gives the TD error where the new Q(S, A) is asked for",
    "mean-not-max": "takes the mean over the next actions where it should take the maximum",
    "first-action": "takes the value of the first next action where it should take the maximum",
    "last-action": "takes the value of the last next action where it should take the maximum",
    "min-not-max": "takes the minimum over the next actions where it should take the maximum",
    "sum-not-max": "adds up the next actions' values where it should take the maximum",
    "index-not-value": "takes the number of the best next action (argmax) where it should take its value (max)",
    "absolute-max": "takes the largest absolute value over the next actions where it should take the maximum",
    "own-value": "looks ahead to Q(S, A) itself where it should take the maximum over the next actions",
    "no-gamma": "forgot gamma",
    "gamma-on-everything": "discounts the reward as well: gamma (R + max Q), not R + gamma max Q",
    "reward-missing": "forgot the reward",
    "no-bootstrap": "never looks ahead: the target is the reward alone",
    "sign": "moves away from the target: the TD error has the wrong sign",
    "tilde": "inverts a Python bool with ~, which gives -1 and -2: write `not terminated` or `1 - terminated`",
}


def update_with(
    slips: Slips, q_value: float, reward: float, next_q_values: Floats, terminated: bool, learning_rate: float,
    gamma: float,
) -> float:  # fmt: skip
    """Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)]."""
    looks: dict[str, Callable[[], Any]] = {
        "mean-not-max": next_q_values.mean, "min-not-max": next_q_values.min, "sum-not-max": next_q_values.sum,
        "first-action": lambda: next_q_values[0], "last-action": lambda: next_q_values[-1],
        "index-not-value": next_q_values.argmax, "absolute-max": lambda: np.abs(next_q_values).max(),
        "own-value": lambda: q_value,
    }  # fmt: skip
    ahead = next((look for slip, look in looks.items() if slip in slips), next_q_values.max)()
    shared = slips & {*TARGET_MISTAKES} - {"sign"}
    target = target_with(shared, reward, gamma, float(ahead), terminated)
    error = (-1 if "sign" in slips else 1) * (target - q_value)
    if "no-update-at-the-end" in slips and terminated:
        return q_value
    others = {
        "replaces": target,
        "rate-on-target-only": q_value + learning_rate * target,
        "rate-swapped": learning_rate * q_value + (1 - learning_rate) * target,
        "target-without-rate": (1 - learning_rate) * q_value + target,
        "returns-change": learning_rate * error,
        "returns-error": error,
    }
    return next((value for slip, value in others.items() if slip in slips), q_value + learning_rate * error)


def _update(
    q_value: float, reward: float, next_q_values: Floats, terminated: bool, learning_rate: float, gamma: float
) -> float:
    target = _td_target(reward, gamma, float(next_q_values.max()), terminated)
    return q_value + learning_rate * (target - q_value)


def _update_cases() -> list[Case]:
    rng = generator("q_learning_update")
    names = ("q_value", "reward", "next_q_values", "terminated", "learning_rate", "gamma")

    def case(name: str, q_value: float, reward: float, values: list[float], *rest: Any, **known: float) -> Case:
        given = (q_value, reward, np.array(values, np.float64), *rest)
        return Case(name, dict(zip(names, given, strict=True)), known=known)

    cases = [
        case("the episode goes on", 2.0, 1.0, [0.0, 6.0], False, 0.5, 0.5, result=3),
        case("the episode terminates", 2.0, 1.0, [0.0, 6.0], True, 0.5, 0.5, result=1.5),
        case("negative values", -2.0, -1.0, [-3.0, -1.0, -2.0], False, 0.1, 0.9, result=-1.99),
        case("terminates with a penalty", 0.0, -100.0, [5.0, 1.0], True, 0.1, 0.9, result=-10),
        case("learning rate 0", 2.0, 1.0, [3.0, 1.0], False, 0.0, 0.9, result=2),
        case("learning rate 1", 2.0, 1.0, [1.0, 3.0], False, 1.0, 0.5, result=2.5),
        case("gamma 0", 2.0, 1.0, [3.0, 1.0], False, 0.5, 0.0, result=1.5),
        case("gamma 1", 2.0, 1.0, [1.0, 3.0], False, 0.5, 1.0, result=3),
        case("the best two next actions are equal", 0.0, 0.0, [4.0, 4.0, 1.0], False, 0.5, 0.5, result=1),
        case("one action", 1.0, 0.0, [2.0], False, 0.5, 0.5, result=1),
        case("the target is Q(S, A) already", 2.0, 1.0, [2.0, 0.0], False, 0.3, 0.5, result=2),
    ]
    for i in range(8):
        value, reward = rng.normal(0.0, 2.0, size=2).round(2)
        values = rng.normal(0.0, 3.0, size=2 + i % 4).round(2).tolist()
        rate, gamma = round(rng.uniform(0.1, 0.4), 2), round(rng.uniform(0.5, 0.99), 2)
        cases.append(case(f"random {i + 1}", float(value), float(reward), values, i % 3 == 2, rate, gamma))
    return [*cases, oracle.q_learning_case()]


# ---- shaping_reward -------------------------------------------------------------------------------------------------

SHAPING_MISTAKES = {
    "no-terminal-mask": "forgot the terminal mask: Phi of a terminal state is 0, so F is -Phi(S) there",
    "inverted-mask": "has the terminal mask the wrong way round: it counts Phi(S') only where S' is terminal",
    "nothing-at-the-end": "gives nothing at the end: where S' is terminal F is -Phi(S), not 0",
    "minus-gamma-at-the-end": "gives -gamma Phi(S) at the end, where -Phi(S) is right",
    "no-gamma": "forgot gamma: Phi(S') - Phi(S)",
    "gamma-on-the-wrong-one": "discounts the wrong one: Phi(S') - gamma Phi(S), not gamma Phi(S') - Phi(S)",
    "gamma-on-both": "discounts both: gamma (Phi(S') - Phi(S)), not gamma Phi(S') - Phi(S)",
    "swapped": "has the two states the wrong way round: gamma Phi(S) - Phi(S')",
    "sign": "has the wrong sign: Phi(S) - gamma Phi(S')",
    "added": "adds the two potentials where it should take their difference",
    "own-missing": "forgot to subtract Phi(S)",
    "next-missing": "forgot to add gamma Phi(S')",
    "tilde": "inverts a Python bool with ~, which gives -1 and -2: write `not terminated` or `1 - terminated`",
}


def shaping_with(slips: Slips, potential: float, next_potential: float, gamma: float, terminated: bool) -> float:
    """F = gamma Phi(S') - Phi(S), Phi of a terminal state being 0."""
    going_on = terminated if "inverted-mask" in slips else ~bool(terminated) if "tilde" in slips else 1 - terminated
    going_on = 1 if "no-terminal-mask" in slips else 0 if "next-missing" in slips else going_on
    if "swapped" in slips:
        return gamma * potential - next_potential * going_on
    if terminated and "nothing-at-the-end" in slips:
        return 0.0
    ahead = 1.0 if slips & {"no-gamma", "gamma-on-the-wrong-one"} else gamma
    back = gamma if slips & {"gamma-on-the-wrong-one", "gamma-on-both"} else 1.0
    back = gamma if terminated and "minus-gamma-at-the-end" in slips else back
    back = 0.0 if "own-missing" in slips else back
    reward = ahead * next_potential * going_on + (1 if "added" in slips else -1) * back * potential
    return -reward if "sign" in slips else reward


def _shaping(potential: float, next_potential: float, gamma: float, terminated: bool) -> float:
    from sb3_ext.envs.wrappers.shaping import potential_term

    return float(potential_term(potential, next_potential, gamma, terminated))


def _shaping_cases() -> list[Case]:
    rng = generator("shaping_reward")
    names = ("potential", "next_potential", "gamma", "terminated")

    def case(name: str, *arguments: Any, **known: float) -> Case:
        return Case(name, dict(zip(names, arguments, strict=True)), known=known)

    cases = [
        case("a step nearer", -3.0, -2.0, 0.5, False, result=2),
        case("a step away", -2.0, -3.0, 0.5, False, result=0.5),
        case("the episode terminates", -3.0, -2.0, 0.5, True, result=3),
        case("terminates, positive potentials", 3.0, 4.0, 0.5, True, result=-3),
        case("positive potentials", 3.0, 4.0, 0.5, False, result=-1),
        case("stays where it is", 2.0, 2.0, 0.9, False, result=-0.2),
        case("gamma 1", 3.0, 5.0, 1.0, False, result=2),
        case("gamma 1, terminates", 3.0, 5.0, 1.0, True, result=-3),
        case("gamma 0", 3.0, 5.0, 0.0, False, result=-3),
        case("no potential anywhere", 0.0, 0.0, 0.9, False, result=0),
    ]
    for i in range(6):
        own, following = rng.normal(0.0, 3.0, size=2).round(2)
        gamma = round(rng.uniform(0.5, 0.99), 2)
        cases.append(case(f"random {i + 1}", float(own), float(following), gamma, i % 3 == 2))
    return [*cases, oracle.shaping_case()]


EXERCISES = (
    Exercise("td_target", _td_target, target_with, TARGET_MISTAKES, _target_cases),
    Exercise("q_learning_update", _update, update_with, UPDATE_MISTAKES, _update_cases),
    Exercise("shaping_reward", _shaping, shaping_with, SHAPING_MISTAKES, _shaping_cases),
)
