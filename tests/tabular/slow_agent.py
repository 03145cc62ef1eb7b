"""The boxes of Sutton & Barto (2nd ed.) once more, slowly, in lists and dictionaries: what compiled code must equal.

Nothing of ``sb3_ext`` is imported here. Random numbers are drawn in the same order, so that the same actions follow.
"""

import math
from collections import Counter

import numpy as np


def uniforms(seed):
    """Splitmix64 (Steele, Lea & Flood 2014) in Python's own integers."""
    state, mask = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]), 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        yield ((bits ^ (bits >> 31)) >> 11) / 2**53


class SlowAgent:
    """An agent of the book.

    Args:
        shape: States, actions, environments.
        seed: Of its random numbers.
        rule: "q", "double", "sarsa", "expected", "mc" or "dyna".
        rate: (progress, visits) -> alpha.
        explore: Kind ("epsilon", "boltzmann" or "ucb") and a function progress -> number.
        gamma, initial: Discount; first value of all pairs.
        total: Steps of the training.
        options: As the classes spell them.
    """

    def __init__(self, shape, seed, rule, rate, explore, gamma, initial, total, **options):
        self.n_states, self.n_actions, self.n_envs = shape
        self.random = uniforms(seed)
        self.rule, self.rate, self.gamma, self.total = rule, rate, gamma, total
        self.kind, self.number = explore
        self.options = options
        n_tables = 2 if rule == "double" else 1
        self.q = [[[initial] * self.n_actions for _ in range(self.n_states)] for _ in range(n_tables)]
        self.visits = [Counter() for _ in range(n_tables)]
        self.steps = 0
        self.chosen = [None] * self.n_envs
        self.episode = [[] for _ in range(self.n_envs)]  # (state, action, reward)
        self.learned = [0] * self.n_envs  # n-step: how many of them are done with
        self.trace = [{} for _ in range(self.n_envs)]
        self.outcomes, self.tried, self.order, self.last, self.queue = {}, Counter(), [], Counter(), {}

    # ---- Policy

    def progress(self):
        return self.steps / self.total

    def values(self, state):
        return [sum(table[state][action] for table in self.q) / len(self.q) for action in range(self.n_actions)]

    def scores(self, state, values):
        """What the greedy choice looks at: the values, or UCB's bounds (eq. 2.10)."""
        if self.kind != "ucb":
            return values
        counts = [sum(visits[state, action] for visits in self.visits) for action in range(self.n_actions)]
        log = math.log(sum(counts)) if sum(counts) else 0.0
        c = self.number(self.progress())
        return [v + c * math.sqrt(log / n) if n else math.inf for v, n in zip(values, counts, strict=True)]

    def softmax(self, values):
        temperature = self.number(self.progress())
        weights = [math.exp((value - max(values)) / temperature) for value in values]
        return [weight / sum(weights) for weight in weights]

    def best(self, scores):
        ties = [action for action, score in enumerate(scores) if score == max(scores)]
        return ties[0] if len(ties) == 1 else ties[int(next(self.random) * len(ties))]

    def draw(self, state):
        values = self.values(state)
        if self.kind == "boltzmann":
            uniform, chances = next(self.random), np.cumsum(self.softmax(values))
            return min(int(np.searchsorted(chances, uniform, side="right")), self.n_actions - 1)
        if self.kind == "epsilon":
            uniform, epsilon = next(self.random), self.number(self.progress())
            if uniform < epsilon:
                return int(uniform / epsilon * self.n_actions)
        return self.best(self.scores(state, values))

    def policy(self, state, values):
        if self.kind == "boltzmann":
            return self.softmax(values)
        epsilon = self.number(self.progress()) if self.kind == "epsilon" else 0.0
        scores = self.scores(state, values)
        n_best = scores.count(max(scores))
        return [epsilon / len(scores) + (1 - epsilon) / n_best * (score == max(scores)) for score in scores]

    def act(self, states):
        actions = [self.draw(s) if chosen is None else chosen for s, chosen in zip(states, self.chosen, strict=True)]
        self.chosen = [None] * self.n_envs
        return actions

    # ---- Learning

    def value_of(self, env, state, table=0):
        """What stands for the return from a state on."""
        row = self.q[table][state]
        if self.rule == "sarsa":
            self.chosen[env] = self.draw(state)
            return row[self.chosen[env]]
        if self.rule in ("expected", "mc"):
            return sum(p * v for p, v in zip(self.policy(state, row), row, strict=True))
        if self.rule == "double":
            return self.q[1 - table][state][self.best(row)]
        return max(row)

    def alpha(self, table, state, action):
        return self.rate(self.progress(), max(self.visits[table][state, action], 1))

    def update(self, state, action, target, table=0):
        self.visits[table][state, action] += 1
        row = self.q[table][state]
        row[action] += self.alpha(table, state, action) * (target - row[action])

    def learn(self, env, state, action, reward, next_state, terminated, truncated):
        step = (env, state, action, reward, next_state, terminated, truncated)
        if self.rule == "dyna":
            self.plan(*step)
        elif self.rule == "mc":
            self.whole_episode(*step)
        elif self.options.get("lambda_", 0) > 0:
            self.backward_view(*step)
        elif self.options.get("n_steps", 1) > 1:
            self.several_steps(*step)
        else:
            self.one_step(*step)
        if truncated:
            self.chosen[env] = None

    def one_step(self, env, state, action, reward, next_state, terminated, truncated):
        table = int(next(self.random) * 2) if self.rule == "double" else 0
        future = 0.0 if terminated else self.value_of(env, next_state, table)
        self.update(state, action, reward + self.gamma * future, table)

    def return_from(self, rewards, bootstrap):
        return sum(self.gamma**k * reward for k, reward in enumerate([*rewards, bootstrap]))

    def several_steps(self, env, state, action, reward, next_state, terminated, truncated):
        episode = self.episode[env]
        episode.append((state, action, reward))
        over, n = terminated or truncated, self.options["n_steps"]
        if len(episode) - self.learned[env] == n or over:
            future = 0.0 if terminated else self.value_of(env, next_state)
            last = len(episode) if over else self.learned[env] + 1
            for tau in range(self.learned[env], last):
                self.update(*episode[tau][:2], self.return_from([r for *_, r in episode[tau:]], future))
            self.learned[env] = last
        if over:
            self.episode[env], self.learned[env] = [], 0

    def whole_episode(self, env, state, action, reward, next_state, terminated, truncated):
        episode = self.episode[env]
        episode.append((state, action, reward))
        if not (terminated or truncated):
            return
        future = 0.0 if terminated else self.value_of(env, next_state)
        for t in reversed(range(len(episode))):
            visit, earlier = episode[t][:2], [pair for *pair, _ in episode[:t]]
            if self.options["visits"] == "every" or list(visit) not in earlier:
                self.update(*visit, self.return_from([r for *_, r in episode[t:]], future))
        self.episode[env] = []

    def backward_view(self, env, state, action, reward, next_state, terminated, truncated):
        trace, row = self.trace[env], self.q[0][state]
        if self.rule == "q" and row[action] < max(row):
            trace.clear()
        future = 0.0 if terminated else self.value_of(env, next_state)
        error = reward + self.gamma * future - row[action]
        self.visits[0][state, action] += 1
        accumulates = self.options.get("traces") == "accumulating"
        trace[state, action] = 1 + (trace.get((state, action), 0.0) if accumulates else 0.0)
        for (s, a), weight in trace.items():
            self.q[0][s][a] += self.alpha(0, s, a) * error * weight
            trace[s, a] = weight * self.gamma * self.options["lambda_"]
        if terminated or truncated:
            trace.clear()

    # ---- Dyna

    def plan(self, env, state, action, reward, next_state, terminated, truncated):
        pair, sweeping = (state, action), self.options.get("prioritized", False)
        kappa = self.options.get("kappa", 0.0)
        known = pair in self.order
        if not known:
            self.order += [(state, a) for a in range(self.n_actions)] if kappa else [pair]
        seen, self.tried[pair] = self.outcomes.setdefault(pair, {}), self.tried[pair] + 1
        if self.options.get("model") == "latest":
            seen.clear()
        share = 1 / self.tried[pair] if seen else 1.0
        for outcome in seen:  # frequencies, kept up incrementally (section 2.4): equal to the last bit, priorities tie
            seen[outcome] *= 1 - share
        seen[reward, next_state, terminated] = seen.get((reward, next_state, terminated), 0.0) + share
        self.last[pair] = self.steps
        if sweeping:
            self.visits[0][pair] += 1
            self.look_again(pair)
        else:
            self.one_step(env, state, action, reward, next_state, terminated, truncated)
        for _ in range(self.options["planning_steps"]):
            if not sweeping:
                s, a = self.order[int(next(self.random) * len(self.order))]
                self.q[0][s][a] += self.alpha(0, s, a) * (self.expected(s, a) - self.q[0][s][a])
                continue
            if not self.queue:
                return
            s, a = most = min(self.queue, key=lambda key: (-self.queue[key], key))
            self.q[0][s][a] += self.alpha(0, s, a) * (self.expected(s, a) - self.q[0][s][a])
            del self.queue[most]
            for earlier, seen_there in self.outcomes.items():
                if any(reached == s for _, reached, _ in seen_there):
                    self.look_again(earlier)

    def look_again(self, pair):
        error = abs(self.expected(*pair) - self.q[0][pair[0]][pair[1]])
        if error > self.options.get("threshold", 1e-4):
            self.queue[pair] = error

    def expected(self, state, action):
        """The expected update's target (section 8.5), and Dyna-Q+'s bonus."""
        kappa = self.options.get("kappa", 0.0)
        bonus = kappa * math.sqrt(self.steps - self.last[state, action]) if kappa else 0.0
        seen = self.outcomes.get((state, action))
        if seen is None:  # a footnote of the book: it leads back to where it was
            return bonus + self.gamma * max(self.q[0][state])
        values = ((p, r + (0.0 if ended else self.gamma) * max(self.q[0][s])) for (r, s, ended), p in seen.items())
        return sum(p * value for p, value in values) + bonus
