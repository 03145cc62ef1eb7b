"""Grading functions as a learner would write them: right ones in many styles, and what goes wrong in general."""

import itertools
from functools import reduce

import numpy as np
import pytest
import torch as th

from sb3_ext.zoo.check.exercises import EXERCISES
from sb3_ext.zoo.check.grading import grade, plain


def verdict_on(name, function):
    return grade(EXERCISES[name], function, __file__)


def mistake_of(name, function):
    verdict = verdict_on(name, function)
    assert not verdict.passed
    assert verdict.mistake is not None, verdict
    return verdict.mistake


# ---- Right in many ways ---------------------------------------------------------------------------------------------


def returns_by_recursion(rewards, gamma):
    if len(rewards) == 0:
        return []
    later = returns_by_recursion(rewards[1:], gamma)
    return [rewards[0] + gamma * (later[0] if later else 0.0), *later]


def returns_by_matrix(rewards, gamma):
    steps = np.arange(len(rewards))
    powers = np.triu(np.power(float(gamma), np.maximum(steps[None, :] - steps[:, None], 0)))
    return (powers @ rewards).astype(np.float32)


def returns_in_torch(rewards, gamma):
    returns, running = [], th.tensor(0.0)
    for reward in reversed(th.tensor(rewards, dtype=th.float32)):
        running = reward + gamma * running
        returns.insert(0, running)
    return th.stack(returns)


class Returns:
    def __call__(self, rewards, gamma=0.99, *, verbose=False):
        return tuple(itertools.accumulate(reversed(rewards.tolist()), lambda later, r: r + gamma * later))[::-1]


def gae_by_sums(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    deltas = rewards + gamma * np.where(terminated, 0, next_values) - values
    advantages = []
    for t in range(len(rewards)):
        total, weight = 0.0, 1.0
        for k in range(t, len(rewards)):
            total += weight * deltas[k]
            weight *= gamma * gae_lambda
            if terminated[k] or truncated[k]:
                break
        advantages.append(total)
    return advantages


def surrogate_with_where(log_probs, old_log_probs, advantages, clip_range):
    advantages = advantages.detach()
    ratio = th.exp(log_probs - old_log_probs.detach())
    limit = th.where(advantages >= 0, (1 + clip_range) * advantages, (1 - clip_range) * advantages)
    return -th.min(ratio * advantages, limit).mean()


def groups_by_loop(returns):
    result = np.zeros(returns.shape)
    for i, group in enumerate(returns):
        spread = np.std(group, ddof=1)
        if spread > 0:
            result[i] = (group - group.mean()) / spread
    return result.tolist()


def chances_by_loop(q_values, epsilon):
    best = [action for action, value in enumerate(q_values) if value == max(q_values)]
    return [
        epsilon / len(q_values) + ((1 - epsilon) / len(best) if action in best else 0)
        for action in range(len(q_values))
    ]


def double_by_loop(rewards, gamma, next_q_values, terminated, next_online_q_values):
    targets = []
    for i in range(len(rewards)):
        picked = int(th.argmax(next_online_q_values[i]))
        targets.append(rewards[i] + (0.0 if terminated[i] else gamma * next_q_values[i, picked].item()))
    return th.stack(targets)


RIGHT = [
    ("discounted_returns", returns_by_recursion),
    ("discounted_returns", returns_by_matrix),
    ("discounted_returns", returns_in_torch),
    ("discounted_returns", Returns()),
    ("td_target", lambda r, g, v, end: np.float32(r + g * v * (not end))),
    ("td_target", lambda r, g, v, end=False: th.tensor(r + (0 if end else g * v))),
    ("epsilon_greedy", chances_by_loop),
    ("q_learning_update", lambda q, r, v, end, a, g: np.array((1 - a) * q + a * (r + g * (1 - end) * np.max(v)))),
    ("dqn_targets", lambda r, g, q, end: (r + g * q.max(1).values * (1 - end)).detach()),
    ("dqn_targets", lambda r, g, q, end: th.where(end.bool(), r, r + g * q.detach().max(dim=-1)[0]).double()),
    ("double_dqn_targets", double_by_loop),
    ("policy_gradient_loss", lambda log_probs, a: -th.dot(log_probs, a.detach()) / len(a)),
    ("gae", gae_by_sums),
    ("clipped_surrogate", surrogate_with_where),
    ("potential", lambda cell: 0.99 ** (abs(cell // 13 - 11) + abs(cell % 13 - 11))),
    ("potential", lambda place: -float(np.linalg.norm(np.asarray(place) - np.array([11.0, 11.0])))),
    ("potential", lambda seen: -np.abs(seen["achieved_goal"] - seen["desired_goal"]).sum()),
    ("shaping_reward", lambda phi, following, g, end: (0.0 if end else g * following) - phi),
    ("kl_penalty", lambda a, b: th.exp(b.detach() - a) - (b.detach() - a) - 1),
    ("group_advantages", groups_by_loop),
    ("group_advantages", lambda g: (g - g.mean(1, keepdims=True)) / (g.std(1, keepdims=True) + 1e-4)),
    ("group_advantages", lambda g: (g - g.mean(1, keepdims=True)) / np.sqrt(g.var(1, keepdims=True) + 1e-9)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), RIGHT, ids=[f"{i}-{name}" for i, (name, _) in enumerate(RIGHT)])
def test_right_solutions_pass(name, function):
    verdict = verdict_on(name, function)
    assert verdict.passed, verdict


# ---- Mistakes as they are made --------------------------------------------------------------------------------------


def returns_not_reversed(rewards, gamma):
    returns, running = [], 0
    for reward in reversed(rewards):
        running = reward + gamma * running
        returns.append(running)
    return np.array(returns)


def gae_with_done(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    advantages, running = np.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        going_on = 1.0 - float(terminated[t] or truncated[t])
        delta = rewards[t] + gamma * next_values[t] * going_on - values[t]
        running = delta + gamma * gae_lambda * going_on * running
        advantages[t] = running
    return advantages


def surrogate_without_min(log_probs, old_log_probs, advantages, clip_range):
    ratio = (log_probs - old_log_probs.detach()).exp()
    return -(th.clamp(ratio, 1 - clip_range, 1 + clip_range) * advantages.detach()).mean()


MISTAKES = [
    ("discounted_returns", returns_not_reversed, "reversed"),
    ("discounted_returns", lambda r, g: np.cumsum(r[::-1])[::-1], "no-discount"),
    ("td_target", lambda r, g, v, end: r + g * v, "no-terminal-mask"),
    ("td_target", lambda r, g, v, end: r + g * v * ~end, "tilde"),
    ("q_learning_update", lambda q, r, v, end, a, g: q + a * (r + g * max(v) * (1 - end)), "rate-on-target-only"),
    ("epsilon_greedy", lambda q, e: np.eye(len(q))[np.argmax(q)] * (1 - e) + e / len(q), "first-of-ties"),
    ("dqn_targets", lambda r, g, q, end: r + g * q.max(1).values * (1 - end), "not-detached"),
    ("dqn_targets", lambda r, g, q, end: r + g * q.detach().max(1, keepdim=True)[0] * (1 - end), "broadcast"),
    ("dqn_targets", lambda r, g, q, end: r + g * q.detach().max(0)[0] * (1 - end), "max-over-batch"),
    ("policy_gradient_loss", lambda log_probs, a: -(log_probs * a).mean(), "advantages-not-detached"),
    ("policy_gradient_loss", lambda log_probs, a: -(log_probs * a.detach()).sum(), "sum-not-mean"),
    ("policy_gradient_loss", lambda log_probs, a: -(log_probs * a).mean().item(), "no-gradient"),
    ("gae", gae_with_done, "truncation-as-end"),
    ("clipped_surrogate", surrogate_without_min, "clip-alone"),
    ("kl_penalty", lambda a, b: a - b.detach(), "k1"),
    ("group_advantages", lambda g: (g - g.mean(1, keepdims=True)) / g.std(1, keepdims=True), "nan-where-equal"),
    ("group_advantages", lambda g: (g - g.mean()) / (g.std() + 1e-8), "whole-batch"),
    ("shaping_reward", lambda phi, following, g, end: g * (0 if end else following) - (g if end else 1) * phi,
     "minus-gamma-at-the-end"),
    ("potential", lambda cell: float(cell), "number-of-the-cell"),
    ("potential", lambda place: abs(place[0] - 11.0) + abs(place[1] - 11.0), "higher-farther"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "id"), MISTAKES, ids=[f"{name}-{id}" for name, _, id in MISTAKES])
def test_mistakes_are_named(name, function, id):
    mistake = mistake_of(name, function)
    assert mistake.id == id
    assert mistake.certain


def test_two_mistakes_at_once_are_both_named():
    mistake = mistake_of("policy_gradient_loss", lambda log_probs, a: (log_probs * a.detach()).sum())
    assert set(mistake.id.split("+")) == {"sign", "sum-not-mean"}
    mistake = mistake_of("q_learning_update", lambda q, r, values, end, a, g: q + a * (r + max(values) - q))
    assert set(mistake.id.split("+")) == {"no-terminal-mask", "no-gamma"}


def test_a_mistake_with_something_else_in_it_is_offered_without_being_certain():
    mistake = mistake_of("td_target", lambda r, g, v, end: r + g * v if abs(v) < 9.5 else r + g * v + 0.5)
    assert mistake.id == "no-terminal-mask"
    assert not mistake.certain


def test_a_mistake_is_seen_behind_an_exception_in_an_edge_case():
    def forward(rewards, gamma):
        if len(rewards) == 1:
            raise ValueError("too short")
        running, returns = 0.0, []
        for reward in rewards:
            running = reward + gamma * running
            returns.append(running)
        return returns

    assert mistake_of("discounted_returns", forward).id == "forward"


# ---- What goes wrong in general -------------------------------------------------------------------------------------


def in_place(rewards, gamma):
    for t in range(len(rewards) - 2, -1, -1):
        rewards[t] += gamma * rewards[t + 1]
    return rewards


def right_returns(rewards, gamma):
    return reduce(lambda later, r: [r + gamma * (later[0] if later else 0), *later], rewards[::-1], [])


def endless(rewards, gamma):
    return endless(rewards, gamma)


def remembers(rewards, gamma, returns=[]):  # noqa: B006
    returns.extend(right_returns(rewards, gamma))
    return returns


GENERAL = [
    ("discounted_returns", in_place, "changes-its-inputs"),
    ("discounted_returns", lambda r, g: right_returns(r, g) + np.random.normal(size=len(r)), "not-repeatable"),  # noqa: NPY002
    ("discounted_returns", remembers, "not-repeatable"),
    ("discounted_returns", lambda r, g: None, "returns-nothing"),
    ("discounted_returns", lambda r, g: "one", "wrong-type"),
    ("discounted_returns", lambda r, g: (x for x in r), "wrong-type"),
    ("discounted_returns", lambda r, g: {"returns": r}, "wrong-type"),
    ("discounted_returns", lambda r, g: np.array(right_returns(r, g))[:, None], "wrong-shape"),
    ("discounted_returns", lambda r, g: np.array(right_returns(r, g)) / 0, "not-finite"),
    ("discounted_returns", lambda r, g: np.array(right_returns(r, g)).astype(int), "whole-numbers"),
    ("discounted_returns", lambda r, g: 0.5 * np.array(right_returns(r, g)), "constant-factor"),
    ("discounted_returns", lambda r, g: r[len(r)], "raises"),
    ("discounted_returns", endless, "endless-recursion"),
    ("discounted_returns", lambda r, g: exit(3), "ends-the-process"),
    ("discounted_returns", lambda rewards: rewards, "wrong-signature"),
    ("discounted_returns", lambda rewards, gamma, ends: rewards, "wrong-signature"),
    ("discounted_returns", [1.0], "not-a-function"),
    ("discounted_returns", lambda r, g: [round(number, 2) for number in right_returns(r, g)], "imprecise"),
    ("discounted_returns", lambda gamma, rewards: right_returns(rewards, gamma), "order-of-parameters"),
    ("kl_penalty", lambda ref, pi: th.exp(ref.detach() - pi) - (ref.detach() - pi) - 1, "order-of-parameters"),
    ("shaping_reward", lambda next_potential, potential, gamma, terminated: gamma * next_potential * (1 - terminated)
     - potential, "order-of-parameters"),
    ("dqn_targets", lambda r, g, q, end: (r + g * q.detach().max(1)[0] * (1 - end)).numpy(), "not-a-tensor"),
    ("policy_gradient_loss", lambda log_probs, a: -(log_probs * a.detach())[:, None], "wrong-shape"),
    ("epsilon_greedy", lambda q, e: int(np.random.randint(len(q))), "returns-action"),  # noqa: NPY002
    ("potential", lambda cell: 1.0 / (abs(cell // 13 - 11) + abs(cell % 13 - 11)), "raises"),
    ("potential", lambda cell: np.random.normal(), "not-repeatable"),  # noqa: NPY002
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "id"), GENERAL, ids=[f"{name}-{id}" for name, _, id in GENERAL])
def test_general_mistakes_are_named(name, function, id):
    assert mistake_of(name, function).id == id


def test_an_exception_is_told_with_its_line():
    def divides(rewards, gamma):
        return 1 // int(gamma * 0)

    verdict = verdict_on("discounted_returns", divides)
    assert "raises ZeroDivisionError" in verdict.mistake.sentence
    assert "return 1 // int(gamma * 0)" in verdict.mistake.sentence
    assert verdict.failures[0]["got"] == verdict.mistake.sentence
    assert verdict.failures[0]["expected"] == [3.0, 4.0, 4.0]


def test_backward_within_the_loss_is_told():
    def trains(log_probs, advantages):
        loss = -(log_probs * advantages.detach() * log_probs).mean()
        loss.backward()
        return loss

    assert mistake_of("policy_gradient_loss", trains).id == "gradient-fails"


def test_a_gradient_is_shown_where_only_it_is_wrong():
    verdict = verdict_on("policy_gradient_loss", lambda log_probs, a: -(log_probs * a).mean())
    assert all(
        failure["got"]["gradient of advantages"] != failure["expected"]["gradient of advantages"]
        for failure in verdict.failures
    )


def test_not_done_yet():
    def later(rewards, gamma):
        raise NotImplementedError

    verdict = verdict_on("discounted_returns", later)
    assert (verdict.status, verdict.mistake.id) == ("not done", "not-done-yet")
    assert not verdict.passed


def test_plain_numbers_are_strict_json():
    assert plain({"a": np.array([1.0, np.nan, np.inf]), "b": True, "c": -0.0}) == {
        "a": [1.0, "nan", "inf"],
        "b": True,
        "c": 0,
    }


# ---- What a reviewer found ------------------------------------------------------------------------------------------


def distance(row, column):
    return lambda cell: float(-abs(cell // 13 - row) - abs(cell % 13 - column))


@pytest.mark.parametrize("goal", [(10, 10), (10, 11), (11, 10)])
def test_a_goal_that_is_off_by_one_is_seen(goal):
    mistake = mistake_of("potential", distance(*goal))
    assert (mistake.id, mistake.certain) == ("another-goal", True)
    row, column = goal
    assert not verdict_on("potential", lambda cell: -max(abs(cell // 13 - row), abs(cell % 13 - column))).passed


@pytest.mark.parametrize(
    "function",
    [
        lambda cell: 0.1 ** (abs(cell // 13 - 11) + abs(cell % 13 - 11)),
        lambda cell: float(np.exp(-((cell // 13 - 11) ** 2 + (cell % 13 - 11) ** 2) / 2)),
        lambda cell: 0.0 if cell == 11 * 13 + 11 else 100.0 + distance(11, 11)(cell),
    ],
    ids=["powers", "gaussian", "zero-at-the-goal"],
)
def test_potentials_of_any_size_are_right(function):
    assert verdict_on("potential", function).passed


def gae_that_ends(ends, bootstraps):
    def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
        deltas = rewards + gamma * next_values * bootstraps(terminated, truncated) - values
        advantages, running = np.zeros(len(rewards)), 0.0
        for t in reversed(range(len(rewards))):
            advantages[t] = running = deltas[t] + gamma * gae_lambda * (1 - ends(terminated, truncated)[t]) * running
        return advantages

    return gae


def test_what_ends_in_both_ways_is_terminal():
    assert verdict_on("gae", gae_that_ends(np.logical_or, lambda over, cut: 1 - over)).passed
    assert not verdict_on("gae", gae_that_ends(np.logical_xor, lambda over, cut: 1 - over)).passed
    assert mistake_of("gae", gae_that_ends(np.logical_or, lambda over, cut: cut | ~over)).id == "truncation-wins"


def test_huge_results_are_told_by_their_shape():
    (failure, *_) = verdict_on("discounted_returns", lambda r, g: np.zeros(3_000_000)).failures
    assert failure["got"] == "array of shape [3000000]"


def test_clipped_group_advantages_are_wrong():
    assert not verdict_on("group_advantages", lambda g: np.clip(groups_by_loop(g), -3, 3)).passed


def kl(log_probs, ref_log_probs):
    log_ratio = ref_log_probs.detach() - log_probs
    return log_ratio.exp() - log_ratio - 1


def test_lists_of_tensors_and_bfloat16_are_read():
    assert mistake_of("kl_penalty", lambda a, b: list(kl(a, b))).id == "not-a-tensor"
    assert mistake_of("kl_penalty", lambda a, b: kl(a, b).bfloat16()).id == "imprecise"


def test_gradients_are_on_whatever_the_file_did():
    def switches_off(log_probs, ref_log_probs):
        result = kl(log_probs, ref_log_probs)
        th.set_grad_enabled(False)
        return result

    with th.no_grad():
        assert verdict_on("kl_penalty", kl).passed
    with th.enable_grad():
        assert verdict_on("kl_penalty", switches_off).passed
