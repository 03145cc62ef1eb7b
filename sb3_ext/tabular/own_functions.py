"""The step engine's two halves by functions of your own (``common/slots.py``): in Python, so a hundred times slower.

``act_by`` and ``learn_by`` take the places of ``act_all`` and ``learn_all`` in ``engine.py``.
"""

import numpy as np

from sb3_ext.common.random_numbers import splitmix64_uniform
from sb3_ext.common.slots import ActionProbabilities, QLearningUpdate, result_of
from sb3_ext.tabular.agent import Bools, Floats, Ints, Memory, Settings
from sb3_ext.tabular.learning import note_error, progress, step_size


def act_by(exploration: ActionProbabilities, settings: Settings, memory: Memory, states: Ints, actions: Ints) -> int:
    """An action for each environment, drawn by an exploration's probabilities; see ``act_all``.

    Raises:
        ValueError: If they are not finite numbers from 0 on that add up to 1, one for each action.
    """
    del settings
    n_states, n_actions = memory.q_tables.shape[1:]
    for env, state in enumerate(states):
        if not 0 <= state < n_states:
            return env
        values, counts = memory.q_tables[:, state].mean(axis=0), memory.visits[:, state].sum(axis=0).astype(float)
        chances = result_of(exploration.probabilities, (n_actions,), values, counts, progress(memory))
        if (chances < 0).any() or abs(chances.sum() - 1) > 1e-6:
            raise ValueError(f"exploration: probabilities must be 0 or more and add up to 1, got {chances}")
        uniform = splitmix64_uniform(memory.random_state)
        actions[env] = min(int((uniform >= chances.cumsum()).sum()), n_actions - 1)
    return -1


def learn_by(
    rule: QLearningUpdate, settings: Settings, memory: Memory, states: Ints, actions: Ints, rewards: Floats,
    next_states: Ints, terminated: Bools, truncated: Bools,
) -> int:  # fmt: skip
    """Learns from a step of every environment, one after the other, by a rule; see ``learn_all``.

    Raises:
        ValueError: If the rule gives anything but one finite number.
    """
    del truncated  # the state reached is worth as much as ever
    table, visits = memory.q_tables[0], memory.visits[0]
    for env, (state, action, next_state) in enumerate(zip(states, actions, next_states, strict=True)):
        if not np.isfinite(rewards[env]) or not 0 <= next_state < len(table):
            return env
        visits[state, action] += 1
        alpha, before = step_size(settings, memory, 0, state, action), table[state, action]
        given = float(before), float(rewards[env]), table[next_state].copy(), bool(terminated[env]), alpha
        table[state, action] = result_of(rule, (), *given, settings.gamma)
        note_error(memory, (table[state, action] - before) / alpha if alpha > 0 else 0.0)
    memory.clock[0] += len(states)
    return -1
