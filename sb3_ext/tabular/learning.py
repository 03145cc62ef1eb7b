"""How a tabular agent acts and learns, one step at a time: the functions that both engines call.

    act      chooses the next action in each environment
    learn    learns from one step of one environment, by the rule that the settings name

Below ``learn`` there is a function for each way to use a step: at once (``learn_one_step``), after n steps
(``learn_n_steps``), backwards along eligibility traces (``learn_with_traces``), at the end of the episode
(``learn_episode``), and with a model of the world (``learn_and_plan``). All are compiled; their source is plain Python.
What they compute with each step is in ``rules.py``.
"""

from sb3_ext.common.compiling import inlined
from sb3_ext.common.exploration import (
    UPPER_CONFIDENCE,
    action_probabilities,
    choose_action,
    greedy_action,
    highest,
    linear,
)
from sb3_ext.common.random_numbers import splitmix64_uniform
from sb3_ext.tabular.agent import DOUBLE_Q, DYNA_Q, EXPECTED_SARSA, MONTE_CARLO, SARSA
from sb3_ext.tabular.rules import (
    double_q_target,
    expected_sarsa_target,
    exploration_bonus,
    moved,
    q_learning_target,
    sarsa_target,
    visit_step_size,
)

SMALLEST_TRACE = 1e-10  # smaller ones are dropped


# ---- Acting ---------------------------------------------------------------------------------------------------------


@inlined
def progress(memory):
    """How much of the training is done, from 0 to 1 (as 1 - SB3's remaining progress)."""
    return 1.0 - (1.0 - memory.clock[0] / memory.clock[1])


@inlined
def exploration_number(settings, memory):
    """epsilon, the temperature or c at present."""
    start, end, fraction = settings.exploration_number
    return start if start == end else linear(start, end, fraction, progress(memory))


@inlined
def look_at(settings, memory, state):
    """Puts Q(state, .) into ``memory.values`` (with two tables, their mean), N(state, .) into ``memory.counts``."""
    n_tables = memory.q_tables.shape[0]
    for action in range(len(memory.values)):
        memory.values[action] = memory.q_tables[0, state, action]
        if n_tables == 2:
            memory.values[action] = (memory.values[action] + memory.q_tables[1, state, action]) / 2
    count_actions(settings, memory, state)


@inlined
def count_actions(settings, memory, state):
    """Puts N(state, .) into ``memory.counts``, if the exploration looks at it."""
    if settings.exploration == UPPER_CONFIDENCE:
        for action in range(len(memory.counts)):
            memory.counts[action] = 0.0
            for table in range(memory.visits.shape[0]):
                memory.counts[action] += memory.visits[table, state, action]


@inlined
def choose(settings, memory, state):
    """An action for a state, drawn from the policy."""
    look_at(settings, memory, state)
    number = exploration_number(settings, memory)
    return choose_action(
        settings.exploration, number, memory.values, memory.counts, memory.chances, memory.random_state
    )


@inlined
def weigh(settings, memory, table, state):
    """Puts pi(. | state) [A] by the values of one table into ``memory.chances``."""
    count_actions(settings, memory, state)
    number = exploration_number(settings, memory)
    values = memory.q_tables[table, state]
    action_probabilities(settings.exploration, number, values, memory.counts, memory.chances)


@inlined
def act(settings, memory, states, actions):
    """Chooses the action of every environment, into ``actions`` [n_envs]."""
    for env in range(len(states)):
        chosen = memory.next_action[env]
        memory.next_action[env] = -1
        actions[env] = chosen if chosen >= 0 else choose(settings, memory, states[env])


# ---- Learning -------------------------------------------------------------------------------------------------------


@inlined
def learn(settings, memory, env, state, action, reward, next_state, terminated, truncated):
    """Learns from one step of environment ``env``.

    Args:
        settings: What the agent is set to.
        memory: What it knows, changed in place.
        env: Index of the environment.
        state: S.
        action: A.
        reward: R.
        next_state: S', the state reached, before any reset.
        terminated: Whether S' is terminal.
        truncated: Whether the episode was cut off at S'.
    """
    if settings.rule == DYNA_Q:
        learn_and_plan(settings, memory, env, state, action, reward, next_state, terminated)
    elif settings.rule == MONTE_CARLO:
        learn_episode(settings, memory, env, state, action, reward, next_state, terminated, truncated)
    elif settings.lambda_ > 0:
        learn_with_traces(settings, memory, env, state, action, reward, next_state, terminated, truncated)
    elif settings.n_steps > 1:
        learn_n_steps(settings, memory, env, state, action, reward, next_state, terminated, truncated)
    else:
        learn_one_step(settings, memory, env, state, action, reward, next_state, terminated)
    if truncated:
        memory.next_action[env] = -1  # it was for the state reached, which a reset has left


@inlined
def target_of(settings, memory, env, table, reward, discount, next_state):
    """What the rule makes of a step: R + gamma (the value of S').

    SARSA chooses A' here. Where nothing follows (discount 0 at a terminal state) nothing is looked up nor drawn.
    """
    if discount == 0:
        return reward
    if settings.rule == SARSA:
        chosen = choose(settings, memory, next_state)
        memory.next_action[env] = chosen
        return sarsa_target(reward, discount, memory.q_tables[table, next_state, chosen])
    if settings.rule == EXPECTED_SARSA or settings.rule == MONTE_CARLO:
        weigh(settings, memory, table, next_state)
        return expected_sarsa_target(reward, discount, memory.q_tables[table, next_state], memory.chances)
    if settings.rule == DOUBLE_Q:
        best = greedy_action(memory.q_tables[table, next_state], memory.random_state)
        return double_q_target(reward, discount, memory.q_tables[1 - table, next_state], best)
    return q_learning_target(reward, discount, memory.q_tables[table, next_state])


@inlined
def step_size(settings, memory, table, state, action):
    """Alpha for an entry: the schedule, divided by a power of its visits."""
    start, end, fraction = settings.learning_rate
    scale = start if start == end else linear(start, end, fraction, progress(memory))
    return visit_step_size(scale, settings.visit_power, max(memory.visits[table, state, action], 1))


@inlined
def update(settings, memory, table, state, action, target):
    """Q(S, A) <- Q(S, A) + alpha [target - Q(S, A)], and counts the visit."""
    value = memory.q_tables[table, state, action]
    memory.visits[table, state, action] += 1
    alpha = step_size(settings, memory, table, state, action)
    memory.q_tables[table, state, action] = moved(value, alpha, target)
    note_error(memory, target - value)


@inlined
def note_error(memory, error):
    """Adds an error to the mean that is logged."""
    memory.errors[0] += abs(error)
    memory.errors[1] += 1


@inlined
def learn_one_step(settings, memory, env, state, action, reward, next_state, terminated):
    """One-step temporal-difference learning (chapter 6)."""
    table = int(splitmix64_uniform(memory.random_state) * 2) if settings.rule == DOUBLE_Q else 0
    discount = 0.0 if terminated else settings.gamma
    target = target_of(settings, memory, env, table, reward, discount, next_state)
    update(settings, memory, table, state, action, target)


# ---- n steps and whole episodes: steps wait in a ring until their return is known -----------------------------------


@inlined
def remember_step(memory, env, state, action, reward):
    """Puts a step into the ring."""
    place = memory.n_seen[env, 0] % memory.step_state.shape[1]
    memory.step_state[env, place], memory.step_action[env, place] = state, action
    memory.step_reward[env, place] = reward
    memory.n_seen[env, 0] += 1


@inlined
def learn_n_steps(settings, memory, env, state, action, reward, next_state, terminated, truncated):
    """n-step SARSA and Expected SARSA (section 7.2): the oldest step in the ring learns from

    G = R_1 + gamma R_2 + ... + gamma^n (the value of the state reached)                                    eq. 7.4, 7.7

    When the episode is over, so do all the others, each from as many rewards as there were.
    """
    remember_step(memory, env, state, action, reward)
    length = memory.step_state.shape[1]
    if memory.n_seen[env, 0] - memory.n_seen[env, 1] < length and not (terminated or truncated):
        return
    bootstrap = 0.0 if terminated else target_of(settings, memory, env, 0, 0.0, 1.0, next_state)
    while memory.n_seen[env, 1] < memory.n_seen[env, 0]:
        return_ = bootstrap
        for step in range(memory.n_seen[env, 0] - 1, memory.n_seen[env, 1] - 1, -1):
            return_ = memory.step_reward[env, step % length] + settings.gamma * return_
        oldest = memory.n_seen[env, 1] % length
        update(settings, memory, 0, memory.step_state[env, oldest], memory.step_action[env, oldest], return_)
        memory.n_seen[env, 1] += 1
        if not (terminated or truncated):
            return


@inlined
def learn_episode(settings, memory, env, state, action, reward, next_state, terminated, truncated):
    """Monte Carlo control (sections 5.3 and 5.4): learns from the returns of an episode once it is over.

    Where the episode was cut off (or is longer than the ring), the value of the state reached stands for the rest.
    """
    remember_step(memory, env, state, action, reward)
    n_steps = memory.n_seen[env, 0]
    if not (terminated or truncated) and n_steps < memory.step_state.shape[1]:
        return
    for step in range(n_steps - 1, -1, -1):  # the last to write is the first visit
        memory.first_seen[memory.step_state[env, step], memory.step_action[env, step]] = step
    return_ = 0.0 if terminated else target_of(settings, memory, env, 0, 0.0, 1.0, next_state)
    for step in range(n_steps - 1, -1, -1):
        return_ = memory.step_reward[env, step] + settings.gamma * return_
        earlier, taken = memory.step_state[env, step], memory.step_action[env, step]
        if not settings.first_visit or memory.first_seen[earlier, taken] == step:
            update(settings, memory, 0, earlier, taken, return_)
    memory.n_seen[env, 0] = 0


# ---- Eligibility traces ---------------------------------------------------------------------------------------------


@inlined
def learn_with_traces(settings, memory, env, state, action, reward, next_state, terminated, truncated):
    """SARSA(lambda) (section 12.7) and Watkins's Q(lambda) (section 12.10).

    Every pair learns from the error in proportion to its trace, which rises at a visit and fades by gamma lambda a
    step. Watkins cuts all traces at an action that is not greedy: what followed it says nothing about the greedy
    policy.
    """
    values = memory.q_tables[0, state]
    if settings.rule != SARSA and values[action] < highest(values):
        cut_traces(memory, env)
    discount = 0.0 if terminated else settings.gamma
    target = target_of(settings, memory, env, 0, reward, discount, next_state)
    error = target - values[action]
    memory.visits[0, state, action] += 1
    note_error(memory, error)
    raise_trace(settings, memory, env, state, action)
    n_actions, kept = memory.q_tables.shape[2], 0
    for place in range(memory.n_traced[env]):
        pair = memory.traced[env, place]
        earlier, taken = pair // n_actions, pair % n_actions
        trace = memory.traces[env, earlier, taken]
        memory.q_tables[0, earlier, taken] += step_size(settings, memory, 0, earlier, taken) * error * trace
        trace *= settings.gamma * settings.lambda_
        if trace < SMALLEST_TRACE:
            trace = 0.0
        else:
            memory.traced[env, kept] = pair
            kept += 1
        memory.traces[env, earlier, taken] = trace
    memory.n_traced[env] = kept
    if terminated or truncated:
        cut_traces(memory, env)


@inlined
def raise_trace(settings, memory, env, state, action):
    """The trace of the pair that was visited: accumulating (eq. 12.5) or replacing (eq. 12.12)."""
    if memory.traces[env, state, action] == 0:
        memory.traced[env, memory.n_traced[env]] = state * memory.q_tables.shape[2] + action
        memory.n_traced[env] += 1
    trace = 0.0 if settings.replacing else memory.traces[env, state, action]
    memory.traces[env, state, action] = trace + 1


@inlined
def cut_traces(memory, env):
    """Sets all traces to 0."""
    n_actions = memory.q_tables.shape[2]
    for place in range(memory.n_traced[env]):
        pair = memory.traced[env, place]
        memory.traces[env, pair // n_actions, pair % n_actions] = 0.0
    memory.n_traced[env] = 0


# ---- Planning with a learned model ----------------------------------------------------------------------------------


@inlined
def learn_and_plan(settings, memory, env, state, action, reward, next_state, terminated):
    """Dyna-Q and Dyna-Q+ (sections 8.2 and 8.3), prioritised sweeping (section 8.4).

    Learns from the step, puts it into the model, then makes ``planning_steps`` updates from the model. Prioritised
    sweeping learns through the model alone: it puts the pair into its queue and works off the largest errors.
    """
    remember_outcome(settings, memory, state, action, reward, next_state, terminated)
    sweeping = settings.threshold >= 0
    if sweeping:
        memory.visits[0, state, action] += 1
        note_error(memory, queue_error(settings, memory, state, action))
    else:
        learn_one_step(settings, memory, env, state, action, reward, next_state, terminated)
    n_actions = memory.q_tables.shape[2]
    for _ in range(settings.planning_steps):
        if sweeping:
            pair = most_urgent(memory)
            if pair < 0:
                return
        else:
            pair = memory.pairs[int(splitmix64_uniform(memory.random_state) * memory.n_pairs[0])]
        planned, taken = pair // n_actions, pair % n_actions
        alpha = step_size(settings, memory, 0, planned, taken)
        target = model_target(settings, memory, planned, taken)
        memory.q_tables[0, planned, taken] = moved(memory.q_tables[0, planned, taken], alpha, target)
        if sweeping:
            set_priority(memory, pair, 0.0)
            queue_predecessors(settings, memory, planned)


@inlined
def model_target(settings, memory, state, action):
    """The expected update (section 8.5) from the model: sum over the outcomes seen of p [R + gamma max_a Q(S', a)].

    In a world without chance there is one outcome, and this is Dyna-Q's sample update. What Dyna-Q+ has never tried
    leads back to where it was, without reward (the book's footnote).
    """
    bonus = 0.0
    if settings.kappa > 0:
        bonus = exploration_bonus(settings.kappa, memory.clock[0] - memory.last_tried[state, action])
    if memory.tried[state, action] == 0:
        return q_learning_target(bonus, settings.gamma, memory.q_tables[0, state])
    target = 0.0
    for k in range(memory.model_weight.shape[2]):
        weight = memory.model_weight[state, action, k]
        if weight == 0:
            break
        discount = 0.0 if memory.model_ended[state, action, k] else settings.gamma
        next_values = memory.q_tables[0, memory.model_next[state, action, k]]
        target += weight * q_learning_target(memory.model_reward[state, action, k], discount, next_values)
    return target + bonus


@inlined
def remember_outcome(settings, memory, state, action, reward, next_state, terminated):
    """Moves the model of a pair towards what was seen: by 1/N (how often each outcome came), or wholly (the latest)."""
    n_actions, n_outcomes = memory.model_weight.shape[1], memory.model_weight.shape[2]
    add_pairs(settings, memory, state, action)
    memory.tried[state, action] += 1
    memory.last_tried[state, action] = memory.clock[0]
    rate = 1.0 if settings.latest else 1.0 / memory.tried[state, action]
    found, rarest = -1, 0
    for k in range(n_outcomes):
        weight = memory.model_weight[state, action, k]
        if weight < memory.model_weight[state, action, rarest]:
            rarest = k
        if weight == 0:
            break
        same = memory.model_next[state, action, k] == next_state and memory.model_reward[state, action, k] == reward
        if same and memory.model_ended[state, action, k] == terminated:
            found = k
    if found < 0:
        found = rarest
        outcome = (state * n_actions + action) * n_outcomes + found
        if settings.threshold >= 0:
            if memory.model_weight[state, action, found] > 0:
                unlink(memory, outcome, memory.model_next[state, action, found])
            link(memory, outcome, next_state)
        memory.model_next[state, action, found] = next_state
        memory.model_reward[state, action, found] = reward
        memory.model_ended[state, action, found] = terminated
    for k in range(n_outcomes):
        memory.model_weight[state, action, k] *= 1 - rate
    memory.model_weight[state, action, found] += rate


@inlined
def add_pairs(settings, memory, state, action):
    """Lists a pair that is new to the model; with Dyna-Q+, all actions of a state that is new."""
    n_actions = memory.tried.shape[1]
    if settings.kappa == 0:
        if memory.tried[state, action] == 0:
            memory.pairs[memory.n_pairs[0]] = state * n_actions + action
            memory.n_pairs[0] += 1
        return
    for other in range(n_actions):
        if memory.tried[state, other] > 0:
            return
    for other in range(n_actions):
        memory.pairs[memory.n_pairs[0]] = state * n_actions + other
        memory.n_pairs[0] += 1


@inlined
def queue_error(settings, memory, state, action):
    """The error of a pair by the model, P = |target - Q(s, a)|; put into the queue if it is above the threshold."""
    error = abs(model_target(settings, memory, state, action) - memory.q_tables[0, state, action])
    if error > settings.threshold:
        set_priority(memory, state * memory.q_tables.shape[2] + action, error)
    return error


@inlined
def queue_predecessors(settings, memory, state):
    """Looks again at all pairs that are known to lead to a state."""
    n_actions, n_outcomes = memory.model_weight.shape[1], memory.model_weight.shape[2]
    outcome = memory.first_link[state]
    while outcome >= 0:
        pair = outcome // n_outcomes
        queue_error(settings, memory, pair // n_actions, pair % n_actions)
        outcome = memory.next_link[outcome]


@inlined
def set_priority(memory, pair, priority):
    """Sets a leaf of the tree, and its ancestors to the larger of their children."""
    node = len(memory.priority) // 2 + pair
    memory.priority[node] = priority
    while node > 1:
        node //= 2
        memory.priority[node] = max(memory.priority[2 * node], memory.priority[2 * node + 1])


@inlined
def most_urgent(memory):
    """The pair of the highest priority, or -1 if all are 0."""
    if memory.priority[1] == 0:
        return -1
    node, n_leaves = 1, len(memory.priority) // 2
    while node < n_leaves:
        node = 2 * node if memory.priority[2 * node] >= memory.priority[2 * node + 1] else 2 * node + 1
    return node - n_leaves


@inlined
def link(memory, outcome, state):
    """Puts an outcome at the head of the list of those that lead to a state."""
    head = memory.first_link[state]
    memory.next_link[outcome], memory.previous_link[outcome] = head, -1
    if head >= 0:
        memory.previous_link[head] = outcome
    memory.first_link[state] = outcome


@inlined
def unlink(memory, outcome, state):
    """Takes an outcome out of the list of those that lead to a state."""
    before, after = memory.previous_link[outcome], memory.next_link[outcome]
    if before >= 0:
        memory.next_link[before] = after
    else:
        memory.first_link[state] = after
    if after >= 0:
        memory.previous_link[after] = before
