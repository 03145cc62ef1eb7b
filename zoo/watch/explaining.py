# ruff: noqa: RUF001  (signs of mathematics)
"""One transition, spelled out: S, A, R, S', target, error, new value, as symbols and as numbers.

Every number comes from the functions of ``sb3_ext.tabular.rules``, called with what the agent knew before the step; a
test holds the new values against the agent's own table, bit for bit.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.tabular.agent import DOUBLE_Q, EXPECTED_SARSA, MONTE_CARLO, SARSA, Memory, Settings
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.tabular.rules import double_q_target, expected_sarsa_target, moved, q_learning_target, sarsa_target
from sb3_ext.zoo.watch.words import Future, index, return_in_words, text

MOST_UPDATES = 12  # that are spelled out of one step; Monte Carlo can make hundreds
SYMBOLS = {SARSA: "Q(S′, A′)", EXPECTED_SARSA: "Σₐ π(a|S′) Q(S′, a)", MONTE_CARLO: "Σₐ π(a|S′) Q(S′, a)",
           DOUBLE_Q: "Q₂(S′, argmaxₐ Q₁(S′, a))"}  # fmt: skip
LOOK_AHEAD = "maxₐ Q(S′, a)"  # of Q-learning and Dyna-Q


class Transition(NamedTuple):
    """One step of the environment; ``next_state`` is what was reached, before any reset."""

    state: int
    action: int
    reward: float
    next_state: int
    terminated: bool
    truncated: bool


class Before(NamedTuple):
    """What the agent knew before the step.

    Attributes:
        q_tables: [n_tables, S, A].
        visits: Likewise.
        waiting: (state, action, reward) of the steps whose return was not known yet, the oldest first.
        trace: Eligibility e(s, a), [S, A]; no elements without traces.
    """

    q_tables: npt.NDArray[np.float64]
    visits: npt.NDArray[np.int64]
    waiting: list[tuple[int, int, float]]
    trace: npt.NDArray[np.float64]


def look(model: TabularAlgorithm) -> Before:
    """Takes down what an agent knows."""
    memory = _memory(model)
    length = memory.step_state.shape[1]
    oldest, newest = int(memory.n_seen[0, 1]), int(memory.n_seen[0, 0])
    places = [step % length for step in range(oldest, newest)]
    waiting = [
        (int(memory.step_state[0, at]), int(memory.step_action[0, at]), float(memory.step_reward[0, at]))
        for at in places
    ]
    trace = memory.traces[0].copy() if len(memory.traces) else memory.traces
    return Before(memory.q_tables.copy(), memory.visits.copy(), waiting, trace)


def spell_out(model: TabularAlgorithm, before: Before, step: Transition) -> dict[str, Any]:
    """What the agent made of a step.

    Args:
        model: The agent after the step, with a constant step size.
        before: What it knew before.
        step: The step.

    Returns:
        ``updates``: of each entry that was learned from the world, its state, action, table, value, target, error,
        alpha, new_value, and ``lines``: (name, symbols, numbers, result), all text. ``n_updates`` counts them all, also
        those that are left out. ``note``: what else happened, text. And the fields of ``Transition``.
    """
    settings = model.settings
    if settings.rule == MONTE_CARLO or settings.n_steps > 1:
        updates, note = _from_returns(model, settings, before, step)
    else:
        updates, note = [_from_one_step(model, settings, before, step)], ""
    if settings.lambda_ > 0:
        note = _about_traces(model, before)
    elif settings.planning_steps > 0:
        note = f"Then {settings.planning_steps} planning updates from the model that it has learned."
    return {**step._asdict(), "updates": updates[:MOST_UPDATES], "n_updates": len(updates), "note": note}


def _memory(model: TabularAlgorithm) -> Memory:
    assert model._memory is not None  # learn() makes it
    return model._memory


# ---- Targets --------------------------------------------------------------------------------------------------------


def _future(model: TabularAlgorithm, settings: Settings, before: Before, step: Transition, table: int) -> Future:
    """What the rule says that S' is worth, from the values before the step: its target with R = 0 and discount 1."""
    values = before.q_tables[table, step.next_state]
    symbols = SYMBOLS.get(settings.rule, LOOK_AHEAD)
    if settings.rule == SARSA:
        chosen = _next_action(model, settings, before, step)
        return Future(sarsa_target(0.0, 1.0, values[chosen]), symbols, text(values[chosen]))
    if settings.rule in (EXPECTED_SARSA, MONTE_CARLO):
        chances = model.policy.exploration.probabilities(values)
        terms = " + ".join(f"{text(p)} × {text(v, inside=True)}" for p, v in zip(chances, values, strict=True))
        return Future(expected_sarsa_target(0.0, 1.0, values, chances), symbols, f"({terms})")
    if settings.rule == DOUBLE_Q:
        best = _judged(model, settings, before, step, table)
        judged = before.q_tables[1 - table, step.next_state]
        return Future(double_q_target(0.0, 1.0, judged, best), symbols, text(judged[best], inside=True))
    listed = ", ".join(text(value) for value in values)
    return Future(q_learning_target(0.0, 1.0, values), symbols, f"max({listed})")


def _next_action(model: TabularAlgorithm, settings: Settings, before: Before, step: Transition) -> int:
    """SARSA's A'; where the episode was cut off it is forgotten, and found again by what was learned from it."""
    chosen = int(_memory(model).next_action[0])
    if chosen >= 0:
        return chosen
    values = before.q_tables[0, step.next_state]
    if settings.n_steps == 1:
        return _fitting(model, settings, before, step, 0, range(len(values)), values)
    steps = _steps(before, step)
    for candidate in range(len(values)):
        q_table = before.q_tables[0].copy()
        for place, (state, action, _) in enumerate(steps):
            target = _return([reward for *_, reward in steps[place:]], settings.gamma, values[candidate])
            q_table[state, action] = moved(q_table[state, action], _alpha(settings), target)
        if np.array_equal(q_table, _memory(model).q_tables[0]):
            return candidate
    return int(values.argmax())


def _judged(model: TabularAlgorithm, settings: Settings, before: Before, step: Transition, table: int) -> int:
    """The best action by the table that learns; of several, the one that was learned from."""
    values = before.q_tables[table, step.next_state]
    best = np.flatnonzero(values == values.max())
    return _fitting(model, settings, before, step, table, best, before.q_tables[1 - table, step.next_state])


def _fitting(
    model: TabularAlgorithm, settings: Settings, before: Before, step: Transition, table: int, actions: Any, values: Any
) -> int:
    """The action whose value gives the new Q(S, A)."""
    new = _memory(model).q_tables[table, step.state, step.action]
    value = before.q_tables[table, step.state, step.action]
    for candidate in actions:
        if moved(value, _alpha(settings), sarsa_target(step.reward, settings.gamma, values[candidate])) == new:
            return int(candidate)
    return int(actions[0])


def _steps(before: Before, step: Transition) -> list[tuple[int, int, float]]:
    """(state, action, reward) of all steps whose return waits, this one the last."""
    return [*before.waiting, (step.state, step.action, step.reward)]


def _return(rewards: list[float], gamma: float, bootstrap: float) -> float:
    """G = R_1 + gamma R_2 + ... + gamma^n (the value of the state reached), eq. 7.4."""
    return_ = bootstrap
    for reward in reversed(rewards):
        return_ = sarsa_target(reward, gamma, return_)
    return float(return_)


def _alpha(settings: Settings) -> float:
    return settings.learning_rate[0]


# ---- Updates --------------------------------------------------------------------------------------------------------


def _from_one_step(
    model: TabularAlgorithm, settings: Settings, before: Before, step: Transition
) -> dict[str, Any]:  # chapter 6
    table = 0
    if settings.rule == DOUBLE_Q:  # the one whose visits grew
        table = int(np.argmax((_memory(model).visits - before.visits).sum(axis=(1, 2))))
    if step.terminated:
        target, symbols, numbers = step.reward, "R", text(step.reward)
    else:
        future = _future(model, settings, before, step, table)
        target = sarsa_target(step.reward, settings.gamma, future.value)
        symbols = f"R + γ {future.symbols}"
        numbers = f"{text(step.reward)} + {text(settings.gamma)} × {future.numbers}"
    value, trace = before.q_tables[table, step.state, step.action], 1.0
    if settings.lambda_ > 0 and not settings.replacing:
        trace += before.trace[step.state, step.action]
    return _update(settings, step.state, step.action, table, value, target, (symbols, numbers), trace)


def _from_returns(
    model: TabularAlgorithm, settings: Settings, before: Before, step: Transition
) -> tuple[list[dict[str, Any]], str]:
    """n-step methods (section 7.2) and Monte Carlo (chapter 5): the steps whose return is known by now."""
    steps = _steps(before, step)
    over = step.terminated or step.truncated
    whole = settings.rule == MONTE_CARLO
    if not over and (whole or len(steps) < settings.n_steps):
        until = "the episode is over" if whole else f"{settings.n_steps} rewards are known"
        return [], f"Nothing is learned yet: the return of a step waits until {until} ({len(steps)} so far)."
    future = None if step.terminated else _future(model, settings, before, step, 0)
    q_table = before.q_tables[0].copy()
    first = {(state, action): place for place, (state, action, _) in reversed(list(enumerate(steps)))}
    places = range(len(steps)) if over else range(1)
    updates = []
    for place in reversed(places) if whole else places:
        state, action, _ = steps[place]
        if whole and settings.first_visit and first[state, action] != place:
            continue
        rewards = [reward for *_, reward in steps[place:]]
        target = _return(rewards, settings.gamma, 0.0 if future is None else future.value)
        shown = return_in_words(rewards, settings.gamma, future)
        updates.append(_update(settings, state, action, 0, q_table[state, action], target, shown))
        q_table[state, action] = updates[-1]["new_value"]
    note = f"The episode is over: {len(updates)} entries learn from their returns." if over else ""
    return updates, note


def _update(
    settings: Settings, state: int, action: int, table: int, value: float, target: float, shown: tuple[str, str],
    trace: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Q(S, A) <- Q(S, A) + alpha [target - Q(S, A)], with a trace: + alpha delta e(S, A)."""
    alpha, error = _alpha(settings), target - value
    new = moved(value, alpha, target) if settings.lambda_ == 0 else value + alpha * error * trace
    q = f"Q{index(table + 1)}" if settings.rule == DOUBLE_Q else "Q"
    symbols = shown[0]
    if settings.rule == DOUBLE_Q and table == 1:
        symbols = symbols.translate(str.maketrans("₁₂", "₂₁"))
    step, factor = f"{q}(S, A) + α δ", f"{text(alpha)} × {text(error, inside=True)}"
    if settings.lambda_ > 0:
        step, factor = f"{step} e(S, A)", f"{factor} × {text(trace)}"
    lines = [
        ("target", symbols, shown[1], text(target)),
        ("error δ", f"target − {q}(S, A)", f"{text(target)} − {text(value, inside=True)}", text(error)),
        (f"new {q}(S, A)", step, f"{text(value)} + {factor}", text(new)),
    ]
    return {"state": state, "action": action, "table": table, "value": float(value), "target": float(target),
            "error": float(error), "alpha": alpha, "new_value": float(new), "lines": lines}  # fmt: skip


def _about_traces(model: TabularAlgorithm, before: Before) -> str:
    moved_pairs = int((_memory(model).q_tables[0] != before.q_tables[0]).sum())
    return (
        f"Each pair s, a moves by α δ e(s, a): with its trace, {max(moved_pairs - 1, 0)} earlier pairs learned from "
        "this error, too."
    )
