"""``dqn_targets`` and ``double_dqn_targets``: what a network's values should have been."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch as th

from sb3_ext import common
from sb3_ext.zoo.check.exercise import Case, Exercise, Function, Slips, generator
from sb3_ext.zoo.check.exercises import oracle

SHARED = {
    "no-terminal-mask": "forgot the terminal mask: where S' is terminal it is worth 0, so the target is R alone",
    "inverted-mask": "has the terminal mask the wrong way round: it looks ahead where S' is terminal, and only there",
    "mask-on-reward": "masks the reward as well: where S' is terminal the target is R, not 0",
    "not-detached": "forgot to detach: a gradient flows through the target, which is data",
    "no-gamma": "forgot gamma",
    "gamma-on-everything": "discounts the reward as well: gamma (R + Q), not R + gamma Q",
    "reward-missing": "forgot the reward",
    "no-bootstrap": "never looks ahead: the target is the reward alone",
    "minus": "subtracts the discounted value where it should add it",
    "broadcast": "broadcasts [N] with [N, 1] to [N, N]: the column of values has to lose its second dimension",
}
DQN_MISTAKES = {
    **SHARED,
    "mean-not-max": "takes the mean over the actions where it should take the maximum",
    "min-not-max": "takes the minimum over the actions where it should take the maximum",
    "sum-not-max": "adds up the values of the actions where it should take the maximum",
    "index-not-value": "takes the number of the best action (argmax) where it should take its value (max)",
    "first-action": "takes the value of the first action where it should take the maximum",
    "last-action": "takes the value of the last action where it should take the maximum",
    "max-over-batch": "takes the maximum over the wrong axis: over the batch (dim 0), not over the actions (dim 1)",
    "max-over-everything": "takes one maximum over the whole batch, not one in each row",
    "absolute-max": "takes the largest absolute value where it should take the maximum",
}
DOUBLE_MISTAKES = {
    **SHARED,
    "roles-swapped": "has the networks' roles swapped: the target network picks the action, the online one judges",
    "plain-dqn": "takes the target network's maximum: that is plain DQN; the online network should pick the action",
    "online-alone": "picks and judges with the online network: the target network should judge",
    "smaller-maximum": "takes the smaller of the two networks' maxima",
    "smaller-of-both": "takes the smaller of what both networks say of the action that was picked",
    "mean-of-both": "takes the mean of what both networks say of the action that was picked",
    "index-not-value": "takes the number of the picked action where it should take its value",
    "argmin": "picks the worst action of the online network, not the best",
    "best-of-batch": "picks over the wrong axis: one action for the whole batch",
}


def dqn_with(slips: Slips, rewards: th.Tensor, gamma: float, next_q_values: th.Tensor, terminated: th.Tensor) -> Any:
    """R + gamma max_a Q(S', a)."""
    looks = {
        "mean-not-max": lambda: next_q_values.mean(dim=1), "min-not-max": lambda: next_q_values.amin(dim=1),
        "sum-not-max": lambda: next_q_values.sum(dim=1), "index-not-value": lambda: next_q_values.argmax(dim=1),
        "first-action": lambda: next_q_values[:, 0], "last-action": lambda: next_q_values[:, -1],
        "max-over-batch": lambda: next_q_values.amax(dim=0), "max-over-everything": next_q_values.max,
        "absolute-max": lambda: next_q_values.abs().amax(dim=1),
    }  # fmt: skip
    look = next((look for slip, look in looks.items() if slip in slips), lambda: next_q_values.amax(dim=1))
    return _target(slips, rewards, gamma, look(), terminated)


def double_with(
    slips: Slips, rewards: th.Tensor, gamma: float, next_q_values: th.Tensor, terminated: th.Tensor, online: th.Tensor
) -> Any:
    """R + gamma Q_target(S', argmax_a Q_online(S', a))."""
    rows = th.arange(len(rewards))
    by_online, by_target = online.argmax(dim=1), next_q_values.argmax(dim=1)
    if "argmin" in slips:
        by_online = online.argmin(dim=1)
    if "best-of-batch" in slips:
        by_online = online.amax(dim=0).argmax().expand(len(rewards))
    judged, also = next_q_values[rows, by_online], online[rows, by_online]
    others = {
        "roles-swapped": online[rows, by_target],
        "plain-dqn": next_q_values[rows, by_target],
        "online-alone": also,
        "smaller-maximum": th.minimum(next_q_values.amax(dim=1), online.amax(dim=1)),
        "smaller-of-both": th.minimum(judged, also),
        "mean-of-both": (judged + also) / 2,
        "index-not-value": by_online,
    }
    value = next((value for slip, value in others.items() if slip in slips), judged)
    return _target(slips, rewards, gamma, value, terminated)


def _target(slips: Slips, rewards: th.Tensor, gamma: float, value: th.Tensor, terminated: th.Tensor) -> th.Tensor:
    value = value if "not-detached" in slips else value.detach()
    going_on = terminated if "inverted-mask" in slips else 1 - terminated
    going_on = th.ones_like(terminated) if "no-terminal-mask" in slips else going_on
    going_on = th.zeros_like(terminated) if "no-bootstrap" in slips else going_on
    own = rewards * (1 - terminated) if "mask-on-reward" in slips else rewards
    own = th.zeros_like(own) if "reward-missing" in slips else own
    own = gamma * own if "gamma-on-everything" in slips else own
    discount = 1.0 if "no-gamma" in slips else -gamma if "minus" in slips else gamma
    if "broadcast" in slips:
        value = value.reshape(-1, 1)
    return own + discount * going_on * value


def _cases(name: str, double: bool) -> list[Case]:
    rng = generator(name)

    def case(title: str, *arguments: Any, attached: bool = False, **known: Any) -> Case:
        rewards, gamma, values, terminated, online = arguments
        given = {"rewards": np.array(rewards, np.float64), "gamma": gamma}
        given |= {"next_q_values": np.array(values, np.float64), "terminated": np.array(terminated, np.float64)}
        given |= {"next_online_q_values": np.array(online, np.float64)} if double else {}
        tables = tuple(name for name in given if name.endswith("q_values"))
        return Case(title, given, attached=tables if attached else (), known=known)

    def drawn(title: str, n: int, n_actions: int, ends: list[int], attached: bool = False) -> Case:
        terminated = np.isin(np.arange(n), ends)
        values, online = (rng.permutation(n * n_actions).reshape(n, n_actions) / 4 - n / 3 for _ in range(2))  # no ties
        rewards, gamma = rng.normal(size=n).round(1), round(rng.uniform(0.7, 0.99), 2)
        return case(title, rewards, gamma, values, terminated, online, attached=attached)

    two = [1, 2], 0.5, [[2, 4], [8, 6]]
    online = [[5, 3], [1, 9]]
    return [
        case("two steps that go on", *two, [0, 0], online, result=[2, 5] if double else [3, 6]),
        case("the second step terminates", *two, [0, 1], online, result=[2, 2] if double else [3, 2]),
        case("one step", [1], 0.5, [[4, 2, 6]], [0], [[9, 8, 7]], result=[3] if double else [4]),
        case("one step that terminates", [1], 0.5, [[4, 2]], [1], [[1, 2]], result=[1]),
        case("negative values", [-1, -1], 0.9, [[-10, -20], [-30, -20]], [0, 0], [[-2, -1], [-2, -1]],
             result=[-19, -19] if double else [-10, -19]),
        case("gamma 0", [1, 2], 0.0, [[2, 4], [8, 6]], [0, 0], online, result=[1, 2]),
        case("gamma 1", [1, 2], 1.0, [[2, 4], [8, 6]], [0, 0], online, result=[3, 8] if double else [5, 10]),
        case("all steps terminate", *two, [1, 1], online, result=[1, 2]),
        case("equal values", [0, 0], 0.5, [[4, 4], [2, 2]], [0, 0], [[1, 1], [3, 3]], result=[2, 1]),
        case("the values have a gradient", *two, [0, 1], online, attached=True),
        drawn("random, 3 steps, 3 actions", 3, 3, [1]),
        drawn("random, 5 steps, 2 actions", 5, 2, [4]),
        drawn("random, 8 steps, 4 actions", 8, 4, [0, 5]),
        drawn("random, 4 steps, 4 actions, with a gradient", 4, 4, [2], attached=True),
        drawn("random, 16 steps, 3 actions, with a gradient", 16, 3, [3, 9], attached=True),
        oracle.targets_case(partial(_iterate, double)),
    ]  # fmt: skip


def _iterate(double: bool, function: Function, steps: Mapping[str, th.Tensor], table: th.Tensor) -> Any:
    following = table[steps["next_state"]]
    more = (following.clone(),) if double else ()
    return function(steps["rewards"].clone(), oracle.GAMMA, following, steps["terminated"].clone(), *more)


EXERCISES = (
    Exercise("dqn_targets", common.dqn_targets, dqn_with, DQN_MISTAKES, partial(_cases, "dqn_targets", False), True),
    Exercise("double_dqn_targets", common.double_dqn_targets, double_with, DOUBLE_MISTAKES,
             partial(_cases, "double_dqn_targets", True), True),
)  # fmt: skip
