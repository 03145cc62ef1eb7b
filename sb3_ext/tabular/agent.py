"""What a tabular agent is set to (``Settings``) and what it knows (``Memory``), as the compiled loop takes them.

Both are named tuples of numbers and arrays, for Python and for numba alike. The arrays that an agent keeps for good
(the tables, the visits, Dyna's model) are the policy's own: the policy's ``state_dict`` and this memory share them.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Q_LEARNING, SARSA, EXPECTED_SARSA, DOUBLE_Q, MONTE_CARLO, DYNA_Q = range(6)
MODEL_OUTCOMES = 16  # that Dyna's model keeps apart for one state and action; the rarest gives way
MODEL = ("model_next", "model_reward", "model_ended", "model_weight", "tried", "last_tried")
KEPT = {"q_tables": np.float64, "visits": np.int64, "clock": np.int64, "model_next": np.int64,
        "model_reward": np.float64, "model_ended": np.bool_, "model_weight": np.float64, "tried": np.int64,
        "last_tried": np.int64}  # fmt: skip
"""The arrays that are kept for good, and their types."""


class Settings(NamedTuple):
    """What a class and its parameters come down to.

    Attributes:
        rule: Q_LEARNING, SARSA, EXPECTED_SARSA, DOUBLE_Q, MONTE_CARLO or DYNA_Q.
        gamma: Discount.
        learning_rate: Linear schedule (start, end, fraction of training).
        visit_power: The step size is learning_rate / N(s, a)^visit_power.
        exploration: EPSILON_GREEDY, BOLTZMANN or UPPER_CONFIDENCE.
        exploration_number: Linear schedule of epsilon, the temperature or c.
        n_steps: Rewards in a return before the value of the state reached.
        lambda_: Trace decay; 0 has no traces.
        replacing: Whether a trace is set to 1 at a visit, not raised by 1.
        first_visit: Whether Monte Carlo learns from an episode's first visit to a pair only.
        planning_steps: Updates from Dyna's model after each step.
        latest: Whether Dyna's model holds the latest outcome of a pair, not how often each was seen.
        kappa: Weight of Dyna-Q+'s bonus; 0 is Dyna-Q.
        threshold: Smallest priority in prioritised sweeping; negative plans at random pairs.
    """

    rule: int = Q_LEARNING
    gamma: float = 0.99
    learning_rate: tuple[float, float, float] = (0.1, 0.1, 1.0)
    visit_power: float = 0.0
    exploration: int = 0
    exploration_number: tuple[float, float, float] = (0.1, 0.1, 1.0)
    n_steps: int = 1
    lambda_: float = 0.0
    replacing: bool = False
    first_visit: bool = True
    planning_steps: int = 0
    latest: bool = False
    kappa: float = 0.0
    threshold: float = -1.0


class Memory(NamedTuple):
    """What an agent knows. Arrays that a rule does not need have no elements.

    Attributes:
        q_tables: Q(s, a), float64 [n_tables, S, A]; two tables for Double Q-learning.
        visits: N(s, a), how often each entry was updated from experience, int64 [n_tables, S, A].
        random_state: Of the agent's splitmix64 generator, uint64 [1].
        clock: Environment steps made, and to be made until the schedules end; int64 [2].
        errors: Sum of |target - estimate| since the last log, and how many; float64 [2].
        next_action: SARSA's A', chosen already, or -1; int64 [n_envs].
        step_state, step_action, step_reward: The steps that wait for their return, [n_envs, length], a ring.
        n_seen: Steps put into that ring, and taken out of it, since the episode began; int64 [n_envs, 2].
        traces: Eligibility e(s, a), float64 [n_envs, S, A].
        traced: The pairs s * A + a with a trace, int64 [n_envs, S * A].
        n_traced: How many, int64 [n_envs].
        first_seen: Monte Carlo: the pair's first step in the episode that is learned from, int64 [S, A].
        model_next, model_reward, model_ended, model_weight: Dyna's model: the outcomes seen of each pair and how often
            (weights sum to 1), [S, A, K].
        tried: How often Dyna saw each pair, int64 [S, A].
        last_tried: The clock then, int64 [S, A].
        pairs, n_pairs: The pairs that Dyna plans at, int64 [S * A] and [1].
        priority: Prioritised sweeping: a tree whose leaves are the pairs' priorities and whose nodes are the larger of
            two children, float64 [2 * leaves].
        first_link, next_link, previous_link: For each state, a linked list of the outcomes (pair * K + k) that lead
            there, int64 [S], [S * A * K], [S * A * K].
        values, counts, chances: Scratch, float64 [A].
    """

    q_tables: Floats
    visits: Ints
    random_state: npt.NDArray[np.uint64]
    clock: Ints
    errors: Floats
    next_action: Ints
    step_state: Ints
    step_action: Ints
    step_reward: Floats
    n_seen: Ints
    traces: Floats
    traced: Ints
    n_traced: Ints
    first_seen: Ints
    model_next: Ints
    model_reward: Floats
    model_ended: Bools
    model_weight: Floats
    tried: Ints
    last_tried: Ints
    pairs: Ints
    n_pairs: Ints
    priority: Floats
    first_link: Ints
    next_link: Ints
    previous_link: Ints
    values: Floats
    counts: Floats
    chances: Floats


def kept_shapes(settings: Settings, n_states: int, n_actions: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array that is kept for good."""
    n_tables = 2 if settings.rule == DOUBLE_Q else 1
    table = (n_tables, n_states, n_actions)
    shapes: dict[str, tuple[int, ...]] = {"q_tables": table, "visits": table, "clock": (2,)}
    if settings.rule == DYNA_Q:
        outcomes = 1 if settings.latest else MODEL_OUTCOMES
        shapes |= dict.fromkeys(MODEL[:4], (n_states, n_actions, outcomes))
        shapes |= dict.fromkeys(MODEL[4:], (n_states, n_actions))
    return shapes


def make_memory(
    settings: Settings, kept: dict[str, npt.NDArray[Any]], n_envs: int, seed: int | None, ring_length: int
) -> Memory:
    """A memory around the arrays that are kept for good.

    Args:
        settings: Decide which arrays are needed.
        kept: The arrays of ``kept_shapes``.
        n_envs: Number of environments.
        seed: Of the agent's random numbers; None draws one.
        ring_length: Steps that may wait for their return (Monte Carlo: the longest episode).
    """
    n_states, n_actions = kept["q_tables"].shape[1:]
    n_pairs = n_states * n_actions
    traces, monte_carlo = settings.lambda_ > 0, settings.rule == MONTE_CARLO
    waiting = ring_length if monte_carlo else settings.n_steps if settings.n_steps > 1 else 0
    sweeping = settings.rule == DYNA_Q and settings.threshold >= 0
    n_leaves = 1 << (n_pairs - 1).bit_length() if sweeping else 0
    n_links = kept["model_next"].size if sweeping else 0
    model = {
        name: kept.get(name, np.zeros((0, 0, 0) if name in MODEL[:4] else (0, 0), dtype=KEPT[name])) for name in MODEL
    }
    memory = Memory(
        q_tables=kept["q_tables"], visits=kept["visits"], clock=kept["clock"],
        random_state=np.random.SeedSequence(seed).generate_state(1, np.uint64).astype(np.uint64),
        errors=np.zeros(2), next_action=np.full(n_envs, -1, np.int64),
        step_state=np.zeros((n_envs, waiting), np.int64), step_action=np.zeros((n_envs, waiting), np.int64),
        step_reward=np.zeros((n_envs, waiting)), n_seen=np.zeros((n_envs, 2), np.int64),
        traces=np.zeros((n_envs, n_states, n_actions) if traces else (0, 0, 0)),
        traced=np.zeros((n_envs, n_pairs) if traces else (0, 0), np.int64), n_traced=np.zeros(n_envs, np.int64),
        first_seen=np.zeros((n_states, n_actions) if monte_carlo else (0, 0), np.int64),
        pairs=np.zeros(n_pairs if settings.rule == DYNA_Q else 0, np.int64), n_pairs=np.zeros(1, np.int64),
        priority=np.zeros(2 * n_leaves), first_link=np.full(n_states if sweeping else 0, -1, np.int64),
        next_link=np.full(n_links, -1, np.int64), previous_link=np.full(n_links, -1, np.int64),
        values=np.zeros(n_actions), counts=np.zeros(n_actions), chances=np.zeros(n_actions), **model,
    )  # fmt: skip
    if settings.rule == DYNA_Q:
        recall(settings, memory)
    return memory


def recall(settings: Settings, memory: Memory) -> None:
    """Rebuilds what is derived from Dyna's model: the list of its pairs and the links between states, in place."""
    memory.priority[:] = 0
    known = memory.tried > 0
    if settings.kappa > 0:  # Dyna-Q+ plans at all actions of the states that it knows
        known = np.broadcast_to(known.any(axis=1, keepdims=True), known.shape)
    pairs = np.flatnonzero(known)
    memory.pairs[: len(pairs)], memory.n_pairs[0] = pairs, len(pairs)
    if settings.threshold < 0:
        return
    from sb3_ext.tabular.learning import link

    memory.first_link[:] = -1
    for outcome in np.flatnonzero(memory.model_weight > 0):
        link(memory, int(outcome), int(memory.model_next.flat[outcome]))


def begin_episodes(memory: Memory) -> None:
    """Forgets what belongs to the episodes that were running, in place."""
    memory.next_action[:] = -1
    memory.n_seen[:] = 0
    memory.n_traced[:] = 0
    memory.traces[:] = 0


def needed_gigabytes(settings: Settings, n_states: int, n_actions: int, n_envs: int, ring_length: int) -> float:
    """The memory of an agent's arrays in GB (10^9 bytes)."""
    shapes = kept_shapes(settings, n_states, n_actions)
    kept = sum(np.dtype(KEPT[name]).itemsize * float(np.prod(shape, dtype=float)) for name, shape in shapes.items())
    pairs = float(n_states) * n_actions
    traces = 16 * n_envs * pairs if settings.lambda_ > 0 else 0
    links = 16 * MODEL_OUTCOMES * pairs if settings.rule == DYNA_Q and settings.threshold >= 0 else 0
    waiting = 24 * n_envs * (ring_length if settings.rule == MONTE_CARLO else settings.n_steps)
    return (kept + traces + links + waiting + 8 * pairs) / 1e9
