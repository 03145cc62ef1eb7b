"""``discounted_returns`` and ``gae``: what each step of an episode is credited with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext import common
from sb3_ext.zoo.check.exercise import Case, Exercise, Floats, Slips, generator
from sb3_ext.zoo.check.exercises import oracle

Bools = npt.NDArray[np.bool_]

# ---- discounted_returns ---------------------------------------------------------------------------------------------

RETURN_MISTAKES = {
    "no-discount": "forgot gamma: it adds up the later rewards as they are",
    "total-for-all": "gives every step the return of the whole episode, rewards included that came before it",
    "discounts-first-reward": "discounts the step's own reward as well: off by one, G_t = gamma (R_{t+1} + G_{t+1})",
    "gamma-on-the-wrong-term": "discounts the step's own reward and not what follows: gamma R + G, not R + gamma G",
    "forward": "goes through the rewards forwards: adds up those that came before the step, not those after it",
    "gamma-power-from-start": "counts the powers of gamma from the start of the episode, not from the step itself",
    "discounts-once": "discounts all later rewards by gamma alone: the powers gamma^2, gamma^3, ... are missing",
    "no-sum": "discounts each reward, but adds nothing up",
    "next-reward-only": "looks one step ahead only: adds gamma times the next reward, not the next return",
    "ignores-the-future": "gives each step its own reward alone",
    "only-the-last-reward": "credits each step with the last reward alone, discounted",
    "reversed": "comes out in reversed order: the last step is first",
    "without-own-reward": "leaves out the step's own reward: off by one, it gives G_{t+1} in the place of G_t",
    "without-own-reward/discounted": "",
    "last-step-missing": "leaves out the last step: off by one at the end of the loop",
    "first-step-missing": "leaves out the first step: off by one at the start of the episode",
    "mean-not-sum": "averages the rewards to come where it should add them up",
    "normalised": "normalises the returns (mean 0, standard deviation 1): that is another step, after this one",
    "normalised/n-1": "",
    "centred": "subtracts the mean of the returns: a baseline is another step, after this one",
    "one-number": "gives the return of the first step alone, one number, where every step has its own",
    "sign": "has the wrong sign",
}


def returns_with(slips: Slips, rewards: Floats, gamma: float) -> Any:
    """G_t = R_{t+1} + gamma G_{t+1}."""
    rewards, n = np.asarray(rewards, np.float64), len(rewards)
    gamma = 1.0 if "no-discount" in slips else gamma
    own = gamma if slips & {"discounts-first-reward", "gamma-on-the-wrong-term"} else 1.0
    later = 1.0 if "gamma-on-the-wrong-term" in slips else gamma
    order = range(n) if "forward" in slips else range(n - 1, -1, -1)
    left_out = {"last-step-missing": n - 1, "first-step-missing": 0}
    skipped = {step for slip, step in left_out.items() if slip in slips}
    returns, running = np.zeros(n), 0.0
    for t in order:
        if t not in skipped:
            running = returns[t] = own * rewards[t] + later * running
    return _other_returns(slips, rewards, gamma, returns)


def _other_returns(slips: Slips, rewards: Floats, gamma: float, returns: Floats) -> Any:
    n, powers = len(rewards), gamma ** np.arange(len(rewards))
    sums = rewards[::-1].cumsum()[::-1]
    after = np.append(returns[1:], 0.0)
    others = {
        "total-for-all": lambda: np.full(n, returns[0]),
        "gamma-power-from-start": lambda: powers * returns,
        "discounts-once": lambda: rewards + gamma * (sums - rewards),
        "no-sum": lambda: powers * rewards,
        "next-reward-only": lambda: rewards + gamma * np.append(rewards[1:], 0.0),
        "ignores-the-future": lambda: rewards.copy(),
        "only-the-last-reward": lambda: powers[::-1] * rewards[-1],
        "reversed": lambda: returns[::-1],
        "without-own-reward": lambda: after,
        "without-own-reward/discounted": lambda: gamma * after,
        "mean-not-sum": lambda: returns / np.arange(n, 0, -1),
        "normalised": lambda: (returns - returns.mean()) / (returns.std() + 1e-8),
        "normalised/n-1": lambda: (returns - returns.mean()) / (returns.std(ddof=1) + 1e-8),
        "centred": lambda: returns - returns.mean(),
        "one-number": lambda: returns[0],
    }
    for slip, other in others.items():
        if slip in slips:
            returns = other()
    return -returns if "sign" in slips else returns


def _return_cases() -> list[Case]:
    rng = generator("discounted_returns")

    def case(name: str, rewards: npt.ArrayLike, gamma: float, **known: npt.ArrayLike) -> Case:
        return Case(name, {"rewards": np.array(rewards, np.float64), "gamma": gamma}, known=known)

    by_hand = [
        case("three rewards", [1, 2, 4], 0.5, result=[3, 4, 4]),
        case("a reward at the end", [0, 0, 0, 8], 0.5, result=[1, 2, 4, 8]),
        case("one step", [3], 0.9, result=[3]),
        case("gamma 0", [1, 2, 4], 0.0, result=[1, 2, 4]),
        case("gamma 1", [1, 2, 4], 1.0, result=[7, 6, 4]),
        case("a reward at the start", [8, 0, 0], 0.5, result=[8, 0, 0]),
        case("negative rewards", [-1, -1, -1, 10], 0.9, result=[4.58, 6.2, 8, 10]),
        case("equal rewards", [1, 1], 0.5, result=[1.5, 1]),
    ]
    drawn = [
        case(f"random, {n} steps", rng.normal(size=n).round(2), round(rng.uniform(0.5, 0.99), 2))
        for n in (2, 3, 5, 8, 13, 30)
    ]
    return [*by_hand, *drawn, oracle.returns_case()]


# ---- gae ------------------------------------------------------------------------------------------------------------

GAE_MISTAKES = {
    "no-terminal-mask": "forgot the terminal mask: it adds gamma V(S') where S' is terminal and so worth 0",
    "truncation-as-end": "takes a time limit for an end: where truncated it does not bootstrap from V(S')",
    "truncation-wins": "bootstraps from V(S') where an episode is terminated and truncated at once: S' is terminal and "
    "worth 0 all the same",
    "bootstraps-from-reset": "bootstraps from values[t + 1], after a reset the next episode's first state; the state "
    "reached is in next_values[t]",
    "bootstraps-from-reset/0": "",
    "bootstraps-from-reset/first": "",
    "bootstraps-from-reset/own": "",
    "trace-not-cut": "carries advantages over from one episode into the one before: the trace is not cut at its end",
    "trace-not-cut-at-truncation": "carries advantages over where an episode is truncated: the trace is cut only where "
    "one terminates",
    "trace-not-cut-at-termination": "carries advantages over where an episode terminates: the trace is cut only where "
    "one is truncated",
    "inverted-mask": "has the terminal mask the wrong way round: it bootstraps where S' is terminal and nowhere else",
    "mask-one-step-late": "looks at how the next step ended, terminated[t + 1], not this one: off by one",
    "flags-swapped": "has the ends the wrong way round: it bootstraps where terminated, and not where truncated",
    "starts-from-a-value": "starts the backward sum with the last V(S'): what follows the last advantage is 0",
    "no-lambda-in-trace": "forgot lambda in the trace: gamma A_{t+1}, not gamma lambda A_{t+1}",
    "no-gamma-in-trace": "forgot gamma in the trace: lambda A_{t+1}, not gamma lambda A_{t+1}",
    "no-gamma-in-delta": "forgot gamma in the TD error: R + V(S') - V(S)",
    "one-minus-lambda": "weighs by 1 - lambda where it should be lambda",
    "no-trace": "gives the TD errors alone: they are not added up along the episode",
    "undecayed-trace": "adds up the TD errors without gamma lambda",
    "forward": "goes through the steps forwards: adds up earlier TD errors, not later ones",
    "last-value-ignored": "takes the end of the array for the end of an episode: the last next_values is not used",
    "values-missing": "forgot to subtract V(S): it gives returns, not advantages",
    "values-added": "adds V(S) to the advantages: that gives returns, the critic's targets",
    "mask-on-own-value": "masks V(S) too: where S' is terminal the TD error is R - V(S)",
    "mask-on-reward": "masks the reward too: where S' is terminal the TD error is R - V(S), not -V(S)",
    "next-value-missing": "forgot to bootstrap: the TD error lacks gamma V(S')",
    "reversed": "comes out in reversed order: the last step is first",
    "last-step-missing": "leaves out the last step: off by one at the end of the loop",
    "first-step-missing": "leaves out the first step: off by one at the start of the loop",
    "normalised": "normalises the advantages (mean 0, standard deviation 1): that is another step, after this one",
    "normalised/n-1": "",
    "centred": "subtracts the mean of the advantages: that is no part of GAE",
    "sign": "has the wrong sign",
}


def gae_with(
    slips: Slips, rewards: Floats, values: Floats, next_values: Floats, terminated: Bools, truncated: Bools,
    gamma: float, gae_lambda: float,
) -> Floats:  # fmt: skip
    """A_t = delta_t + gamma lambda A_{t+1} within an episode."""
    n = len(rewards)
    flags = (truncated, terminated) if "flags-swapped" in slips else (terminated, truncated)
    over, cut = (flag.astype(np.float64) for flag in flags)
    ends = np.maximum(over, cut)
    after = {"": next_values[-1], "/0": 0.0, "/first": values[0], "/own": values[-1]}
    for form, last in after.items():
        if "bootstraps-from-reset" + form in slips:
            next_values = np.append(values[1:], last)
    if "last-value-ignored" in slips:
        next_values = np.append(next_values[:-1], 0.0)
    if "mask-one-step-late" in slips:
        over, ends = np.append(over[1:], 0.0), np.append(ends[1:], 0.0)
    going_on = 1.0 - (ends if "truncation-as-end" in slips else over)
    going_on = np.ones(n) if "no-terminal-mask" in slips else 1 - going_on if "inverted-mask" in slips else going_on
    going_on = np.maximum(going_on, cut) if "truncation-wins" in slips else going_on
    deltas = _deltas(slips, rewards, values, next_values, going_on, gamma)
    traces = _traces(slips, over, cut, ends, gamma, gae_lambda)
    skipped = {"last-step-missing": n - 1, "first-step-missing": 0}
    advantages, running = np.zeros(n), next_values[-1] if "starts-from-a-value" in slips else 0.0
    for t in range(n) if "forward" in slips else range(n - 1, -1, -1):
        if not any(slip in slips and t == step for slip, step in skipped.items()):
            running = advantages[t] = deltas[t] + traces[t] * running
    return _finished(slips, advantages, values)


def _deltas(
    slips: Slips, rewards: Floats, values: Floats, next_values: Floats, going_on: Floats, gamma: float
) -> Floats:
    gamma = 1.0 if "no-gamma-in-delta" in slips else gamma
    bootstrap = 0.0 if "next-value-missing" in slips else gamma * next_values * going_on
    own = 0.0 if "values-missing" in slips else values * (going_on if "mask-on-own-value" in slips else 1.0)
    return rewards * (going_on if "mask-on-reward" in slips else 1.0) + bootstrap - own


def _traces(slips: Slips, over: Floats, cut: Floats, ends: Floats, gamma: float, gae_lambda: float) -> Floats:
    gamma = 1.0 if slips & {"no-gamma-in-trace", "undecayed-trace"} else gamma
    gae_lambda = 1.0 - gae_lambda if "one-minus-lambda" in slips else gae_lambda
    gae_lambda = 1.0 if slips & {"no-lambda-in-trace", "undecayed-trace"} else gae_lambda
    gae_lambda = 0.0 if "no-trace" in slips else gae_lambda
    kept: Mapping[str, Floats] = {
        "trace-not-cut": np.zeros_like(ends),
        "trace-not-cut-at-truncation": over,
        "trace-not-cut-at-termination": cut,
    }
    stops = next((where for slip, where in kept.items() if slip in slips), ends)
    return gamma * gae_lambda * (1.0 - stops)


def _finished(slips: Slips, advantages: Floats, values: Floats) -> Floats:
    if "values-added" in slips:
        advantages = advantages + values
    if slips & {"normalised", "normalised/n-1", "centred"}:
        spread = advantages.std(ddof=int("normalised/n-1" in slips)) + 1e-8
        advantages = (advantages - advantages.mean()) / (1.0 if "centred" in slips else spread)
    if "reversed" in slips:
        advantages = advantages[::-1]
    return -advantages if "sign" in slips else advantages


def _gae(
    rewards: Floats, values: Floats, next_values: Floats, terminated: Bools, truncated: Bools, gamma: float,
    gae_lambda: float,
) -> Any:  # fmt: skip
    discounts = np.where(terminated, 0.0, gamma)
    return common.generalized_advantage_estimation(
        rewards, discounts, values, next_values, terminated | truncated, gae_lambda
    )


def trajectory(
    rng: np.random.Generator, n: int, terminated: npt.ArrayLike = (), truncated: npt.ArrayLike = ()
) -> dict[str, Any]:
    """Random rewards and values of a rollout whose episodes end at the given steps."""
    over, cut = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    over[np.asarray(terminated, int)] = True
    cut[np.asarray(truncated, int)] = True
    rewards, values = rng.normal(size=n).round(1), rng.normal(1.0, 2.0, size=n).round(1)
    next_values = np.append(values[1:], round(rng.normal(1.0, 2.0), 1))
    next_values[over | cut] = rng.normal(1.0, 2.0, size=int((over | cut).sum())).round(1)
    return {"rewards": rewards, "values": values, "next_values": next_values, "terminated": over, "truncated": cut}


def _gae_cases() -> list[Case]:
    rng = generator("gae")

    def case(name: str, steps: dict[str, Any], gamma: float, gae_lambda: float, **known: npt.ArrayLike) -> Case:
        return Case(name, {**steps, "gamma": gamma, "gae_lambda": gae_lambda}, known=known)

    def by_hand(
        rewards: npt.ArrayLike, values: npt.ArrayLike, next_values: npt.ArrayLike, terminated: Any, truncated: Any
    ) -> dict[str, Any]:
        numbers = {"rewards": rewards, "values": values, "next_values": next_values}
        ends = {"terminated": np.array(terminated, np.bool_), "truncated": np.array(truncated, np.bool_)}
        return {**{name: np.array(value, np.float64) for name, value in numbers.items()}, **ends}

    two = [1, 2], [4, 6], [6, 8]
    cases = [
        case("two steps of an episode that goes on", by_hand(*two, [0, 0], [0, 0]), 0.5, 0.5, result=[0, 0]),
        case("two steps, the second terminates", by_hand(*two, [0, 1], [0, 0]), 0.5, 0.5, result=[-1, -4]),
        case("two steps, the second is truncated", by_hand(*two, [0, 0], [0, 1]), 0.5, 0.5, result=[0, 0]),
        case("a truncated episode, then the next", by_hand([1, 2], [4, 6], [2, 8], [0, 0], [1, 0]), 0.5, 0.5,
             result=[-2, 0]),
        case("a terminated episode, then the next", by_hand([1, 2], [4, 6], [2, 4], [1, 0], [0, 0]), 0.5, 0.5,
             result=[-3, -2]),
        case("one step that goes on", by_hand([1], [2], [4], [0], [0]), 0.5, 0.9, result=[1]),
        case("one step that terminates", by_hand([1], [2], [4], [1], [0]), 0.5, 0.9, result=[-1]),
        case("one step that is truncated", by_hand([1], [2], [4], [0], [1]), 0.5, 0.9, result=[1]),
        case("one step that terminates as time runs out", by_hand([1], [2], [4], [1], [1]), 0.5, 0.9, result=[-1]),
        case("terminates as time runs out, then the next", by_hand([1, 2], [4, 6], [2, 4], [1, 0], [1, 0]), 0.5, 0.5,
             result=[-3, -2]),
        case("lambda 0: the TD errors", trajectory(rng, 4, [1]), 0.9, 0.0),
        case("lambda 1: returns minus values", trajectory(rng, 4, [3]), 0.9, 1.0),
        case("gamma 0", trajectory(rng, 3, [2]), 0.0, 0.9),
        case("gamma 1, lambda 1", trajectory(rng, 4, [], [1]), 1.0, 1.0),
        case("every step ends an episode", trajectory(rng, 4, [0, 2], [1, 3]), 0.9, 0.8),
        case("terminated, then truncated, then cut off", trajectory(rng, 8, [2], [5]), 0.9, 0.7),
        case("truncated, then terminated", trajectory(rng, 7, [6], [3]), 0.95, 0.8),
        *(
            case(f"random, {n} steps{how}", trajectory(rng, n, ended, stopped), 0.97, 0.85)
            for n, how, ended, stopped in [
                (6, "", [], []),
                (9, ", one terminates", [4], []),
                (9, ", one is truncated", [], [4]),
                (24, ", five episodes", [3, 11], [7, 19]),
                (32, ", four episodes", [9, 31], [20]),
            ]
        ),
    ]  # fmt: skip
    return [*cases, oracle.gae_case()]


# ---------------------------------------------------------------------------------------------------------------------


def _discounted_returns(rewards: Floats, gamma: float) -> Any:
    return common.discounted_returns(rewards, np.full(len(rewards), gamma))


EXERCISES = (
    Exercise("discounted_returns", _discounted_returns, returns_with, RETURN_MISTAKES, _return_cases),
    Exercise("gae", _gae, gae_with, GAE_MISTAKES, _gae_cases),
)
