"""Cases whose answer is known exactly: a small world is solved, and a right function must give what the solution says.

    0 <-> 1 <-> 2 <-> 3 -> end        a step costs 1, the last one earns 5

Action 0 leads left (in 0 it stays there), action 1 right. The step that ends the episode is noted as leading back to 3,
a state of value: whoever forgets the terminal mask gets it wrong.
"""

from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.oracle import SoftmaxTable, exact_policy_gradient, solve_policy
from sb3_ext.tabular import TabularMDP, value_iteration
from sb3_ext.zoo.check.exercise import Case, Floats, Function, Outcome, as_number, as_numbers, gradients_of

NEXT_STATE = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
REWARD = np.array([[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0], [-1.0, 5.0]])
TERMINATED = np.zeros((4, 2), np.bool_)
TERMINATED[3, 1] = True
WORLD = "a corridor of 4 cells; a step costs 1, leaving it on the right earns 5 and ends the episode"
GAMMA = 0.5
SWEEPS = 30


@cache
def corridor() -> TabularMDP:
    """The world."""
    return TabularMDP.from_arrays(NEXT_STATE, REWARD, TERMINATED)


def returns_case() -> Case:
    """Straight through the corridor; the returns are the exact values of doing so."""
    exact = solve_policy(corridor(), np.ones(4, int), GAMMA).values
    return Case("exact: the values of a solved world", {"rewards": REWARD[:, 1].copy(), "gamma": GAMMA},
                known={"result": exact})  # fmt: skip


def gae_case() -> Case:
    """With exact values and lambda 0, an advantage is Q(s, a) - V(s)."""
    exact = solve_policy(corridor(), np.full((4, 2), 0.5), GAMMA)
    states = np.array([0, 1, 0, 2, 3, 1, 2])  # truncated after 3 steps, terminated after 5
    actions = np.array([1, 0, 1, 1, 1, 1, 0])
    reached = NEXT_STATE[states, actions]
    given = {
        "rewards": REWARD[states, actions],
        "values": exact.values[states],
        "next_values": exact.values[reached],
        "terminated": TERMINATED[states, actions],
        "truncated": np.arange(7) == 2,
        "gamma": GAMMA,
        "gae_lambda": 0.0,
    }
    return Case("exact: Q - V of a solved world, lambda 0", given, known={"result": exact.advantages[states, actions]})


def td_target_case() -> Case:
    """Policy evaluation with the learner's target, for the policy that goes right."""
    exact = solve_policy(corridor(), np.ones(4, int), GAMMA).values

    def play(function: Function) -> Outcome:
        values = np.zeros(4)
        for _ in range(SWEEPS // 2):
            for state in range(4):
                following = float(values[NEXT_STATE[state, 1]])
                target = function(float(REWARD[state, 1]), GAMMA, following, bool(TERMINATED[state, 1]))
                values[state] = as_number(target)
        return Outcome({"result": values})

    what = {"world": WORLD, "gamma": GAMMA, "what": "V of always going right, V(S) replaced with the target, 15 sweeps"}
    return Case("exact: policy evaluation by its targets", what, known={"result": exact}, play=play)


def q_learning_case() -> Case:
    """Q-learning over all pairs with the learner's rule ends at the optimal values."""
    exact = value_iteration(corridor(), GAMMA).q_values

    def play(function: Function) -> Outcome:
        table = np.zeros((4, 2))
        for _ in range(SWEEPS):
            for state, action in np.ndindex(4, 2):
                given = float(REWARD[state, action]), table[NEXT_STATE[state, action]].copy()
                ended = bool(TERMINATED[state, action])
                table[state, action] = as_number(function(float(table[state, action]), *given, ended, 0.8, GAMMA))
        return Outcome({"result": table})

    what = {"world": WORLD, "gamma": GAMMA, "learning_rate": 0.8, "what": "Q after 30 updates of each of the 8 pairs"}
    return Case("exact: Q-learning by its updates", what, known={"result": exact}, play=play)


def shaping_case() -> Case:
    """Along an episode the discounted shaping rewards add up to -Phi(S_0) if it terminates."""
    potential = np.array([-4.0, -3.0, -2.0, -1.0, 7.0])

    def play(function: Function) -> Outcome:
        sums = []
        for path, ended in ([0, 1, 2, 3, 4], True), ([2, 1, 2, 3, 4], True), ([0, 1, 0, 1, 2], False):
            rewards = [
                as_number(function(float(potential[s]), float(potential[n]), GAMMA, ended and t == 3))
                for t, (s, n) in enumerate(pairwise(path))
            ]
            sums.append(np.dot(GAMMA ** np.arange(4), rewards))
        return Outcome({"result": np.array(sums)})

    known = [4.0, 2.0, GAMMA**4 * -2.0 + 4.0]
    what = {"potential": potential, "gamma": GAMMA, "what": "the discounted sum of F along three episodes of 4 steps; "
            "two terminate, one is truncated"}  # fmt: skip
    return Case("exact: -Phi(S_0) is left of an episode", what, known={"result": known}, play=play)


def targets_case(iterate: Callable[[Function, Mapping[str, th.Tensor], th.Tensor], Any]) -> Case:
    """The targets of all pairs, iterated, end at the optimal values.

    Args:
        iterate: calls the function with rewards, terminated and next_state as tensors, and a table [4, 2].
    """
    exact = value_iteration(corridor(), GAMMA).q_values.reshape(-1)
    steps = {
        "rewards": th.tensor(REWARD.reshape(-1), dtype=th.float32),
        "terminated": th.tensor(TERMINATED.reshape(-1), dtype=th.float32),
        "next_state": th.tensor(NEXT_STATE.reshape(-1)),
    }

    def play(function: Function) -> Outcome:
        table = th.zeros(4, 2)
        for _ in range(SWEEPS):
            result = as_numbers(iterate(function, steps, table))
            if result.shape != (8,):
                return Outcome({"result": result.astype(np.float64)})
            table = th.tensor(result, dtype=th.float32).reshape(4, 2)
        return Outcome({"result": table.double().numpy().reshape(-1)})

    what = {"world": WORLD, "gamma": GAMMA, "what": "Q of the 8 pairs, replaced with their targets 30 times"}
    return Case("exact: value iteration by its targets", what, known={"result": exact}, play=play)


def gradient_case(loss: Callable[[Function, th.Tensor, th.Tensor], Any]) -> Case:
    """Over all states and actions, weighted as often as they occur, the gradient of the loss is minus that of J.

    Args:
        loss: calls the function with log-probabilities [N] and advantages [N].
    """
    table = SoftmaxTable([[0.0, 0.3], [-0.2, 0.4], [0.5, 0.1], [0.0, -0.5]])
    probabilities = table()
    solution = solve_policy(corridor(), probabilities, GAMMA)
    shares = solution.occupancy[:, None] * probabilities.detach().numpy()
    weighted = th.tensor((8 * shares * solution.advantages).reshape(-1), dtype=th.float32)
    exact = exact_policy_gradient(corridor(), probabilities, table.parameters(), GAMMA).reshape(4, 2).numpy()

    def play(function: Function) -> Outcome:
        logits = table.logits.detach().float().requires_grad_()
        advantages = weighted.clone()
        result = loss(function, logits.log_softmax(dim=1).reshape(-1), advantages)
        array = as_numbers(result).astype(np.float64)
        parts: dict[str, Floats] = {"result": array, **_gradient(result, logits)}
        return Outcome(parts)

    what = {"world": WORLD, "gamma": GAMMA, "policy": "a softmax table",
            "what": "every state and action once, its advantage weighted by how often it occurs; "
            "the gradient should be minus that of the policy's value"}  # fmt: skip
    known: dict[str, npt.ArrayLike] = {"gradient of the policy": -exact}
    return Case("exact: the policy gradient of a solved world", what, known=known, play=play)


def _gradient(result: Any, logits: th.Tensor) -> dict[str, Floats]:
    return {"gradient of the policy": gradients_of(result, {"logits": logits})["logits"]}


def kl_case() -> Case:
    """The mean of the penalty over all actions is KL(pi || ref)."""
    pi, ref = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])
    exact = float(np.sum(pi * np.log(pi / ref)))

    def play(function: Function) -> Outcome:
        log_probs = (th.tensor(np.log(each), dtype=th.float32) for each in (pi, ref))
        result = as_numbers(function(*log_probs)).astype(np.float64)
        return Outcome({"result": np.asarray((pi * result).sum() if result.shape == (4,) else result)})

    what = {"pi": pi, "ref": ref, "what": "the mean of the penalty over actions drawn from pi, which is KL(pi || ref)"}
    return Case("exact: the divergence itself", what, known={"result": exact}, play=play)
