"""How well agents do together (returns) and against one another (wins, draws, losses).

Players are what :class:`SelfPlayEnv` takes as opponents: ``"random"``, an SB3 model or policy, or a function
``(observation, action_mask, agent, generator) -> action``.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import permutations
from typing import Any

import numpy as np
from pettingzoo import AECEnv, ParallelEnv
from scipy.stats import binomtest

from sb3_ext.multi_agent.playing import LineUp, MultiAgentEnv, possible_agents


@dataclass(frozen=True)
class MultiAgentEvaluation:
    """Returns of agents that act in one environment.

    Attributes:
        agents: The environment's ``possible_agents``.
        returns: Undiscounted sum of each agent's rewards, float64 [n_episodes, n_agents].
        teams: The keys of ``players``.
        team_returns: Sum of the returns of a key's agents, float64 [n_episodes, n_teams].
        lengths: Longest-lived agent's number of actions, int64 [n_episodes].
    """

    agents: list[str]
    returns: np.ndarray
    teams: list[str]
    team_returns: np.ndarray
    lengths: np.ndarray

    def __str__(self) -> str:
        lines = [f"{len(self.lengths)} episodes of {self.lengths.mean():.1f} steps: mean return ± standard error"]
        named = [("agent", self.agents, self.returns), ("team", self.teams, self.team_returns)]
        for kind, names, returns in named:
            error = returns.std(axis=0, ddof=1) / np.sqrt(len(returns)) if len(returns) > 1 else [np.nan] * len(names)
            means = returns.mean(axis=0)
            lines += [f"{kind:5} {n:20} {m:9.3f} ± {e:.3f}" for n, m, e in zip(names, means, error, strict=True)]
        return "\n".join(lines)


@dataclass(frozen=True)
class MatchTable:
    """Games of each player against each other, from both seats.

    ``wins[i, j, s]`` counts the games that player i won against player j from seat s; so do ``draws`` and ``losses``.
    Nobody plays itself: those entries are 0.

    Attributes:
        players: Their names.
        seats: The environment's two agents.
        wins: int64 [n_players, n_players, 2].
        draws: Likewise.
        losses: Likewise.
    """

    players: list[str]
    seats: list[str]
    wins: np.ndarray
    draws: np.ndarray
    losses: np.ndarray

    def win_rates(self) -> np.ndarray:
        """Share of games won, both seats together, float64 [n_players, n_players]; NaN on the diagonal."""
        games = (self.wins + self.draws + self.losses).sum(axis=2)
        return np.where(games > 0, self.wins.sum(axis=2) / np.maximum(games, 1), np.nan)

    def intervals(self, confidence: float = 0.95) -> np.ndarray:
        """Wilson's intervals of the win rates, float64 [n_players, n_players, 2]; NaN on the diagonal."""
        bounds = np.full((len(self.players), len(self.players), 2), np.nan)
        for i, j in permutations(range(len(self.players)), 2):
            wins, draws, losses = (int(count[i, j].sum()) for count in (self.wins, self.draws, self.losses))
            bounds[i, j] = win_interval(wins, draws, losses, confidence)
        return bounds

    def __str__(self) -> str:
        rates, bounds = self.win_rates(), self.intervals()
        lines = [f"{'player':16} {'against':16} {'win rate (95 % interval)':26} wins/draws/losses as {self.seats}"]
        for i, j in permutations(range(len(self.players)), 2):
            low, high = bounds[i, j]
            seats = [f"{self.wins[i, j, s]}/{self.draws[i, j, s]}/{self.losses[i, j, s]}" for s in range(2)]
            rate = f"{rates[i, j]:.3f} ({low:.3f} to {high:.3f})"
            lines.append(f"{self.players[i]:16} {self.players[j]:16} {rate:26} {', '.join(seats)}")
        return "\n".join(lines)


def win_interval(wins: int, draws: int, losses: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the probability to win.

    >>> [round(bound, 3) for bound in win_interval(wins=90, draws=5, losses=5)]
    [0.826, 0.945]
    """
    interval = binomtest(wins, wins + draws + losses).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def evaluate_multi_agent(
    players: Mapping[str, Any],
    env_fn: Callable[[], MultiAgentEnv],
    n_episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
) -> MultiAgentEvaluation:
    """Plays whole episodes with one player for each agent and adds up what the agents and teams get.

    Args:
        players: Agent's name or pattern (``"adversary_*"``) to player; the agents of a key are a team. Of several keys
            that fit an agent the first one holds.
        env_fn: Makes the parallel or AEC environment; wrapped as the models were trained.
        n_episodes: Number of episodes.
        seed: Of all randomness.
        deterministic: Whether models play their best action instead of drawing one.

    Raises:
        TypeError: If ``env_fn`` is no function that makes an environment.
        ValueError: If an agent has no player or a key no agent.

    Example:
        >>> import functools, pettingzoo
        >>> rock_paper_scissors = functools.partial(pettingzoo.make, "parallel", "classic/rps_v2")
        >>> result = evaluate_multi_agent({"player_*": "random"}, rock_paper_scissors, n_episodes=10)
        >>> result.returns.shape, float(result.team_returns.sum())  # what one wins the other loses
        ((10, 2), 0.0)
    """
    env = _made(env_fn)
    agents = possible_agents(env)
    key_of = _assign(list(players), agents)
    line_up = LineUp(env, {agent: players[key] for agent, key in key_of.items()}, deterministic)
    generator = np.random.default_rng(seed)
    games = [line_up.play(generator) for _ in range(_positive(n_episodes))]
    env.close()
    returns = np.array([[game.returns[agent] for agent in agents] for game in games], dtype=float)
    members = np.array([[key_of[agent] == key for key in players] for agent in agents], dtype=float)
    lengths = np.array([max(len(actions) for actions in game.actions.values()) for game in games])
    return MultiAgentEvaluation(agents, returns, list(players), returns @ members, lengths)


def evaluate_matches(
    players: Mapping[str, Any],
    env_fn: Callable[[], MultiAgentEnv],
    n_episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
) -> MatchTable:
    """Lets each player play each other one in a game for two; the higher return wins.

    Args:
        players: Name to player.
        env_fn: Makes the parallel or AEC environment.
        n_episodes: Games of each pair from each seat.
        seed: Of all randomness.
        deterministic: Whether models play their best action instead of drawing one. If nothing is drawn at all, a pair
            plays the same game again and again; a warning says so, for the interval then means nothing.

    Raises:
        TypeError: If ``env_fn`` is no function that makes an environment.
        ValueError: If the environment has not two agents, or if there are fewer than two players.
    """
    if len(players) < 2:
        raise ValueError(f"a match needs two players, got {list(players)}")
    env = _made(env_fn)
    agents = possible_agents(env)
    if len(agents) != 2:
        raise ValueError(f"matches are games for two, {env} has the agents {agents}; use evaluate_multi_agent")
    counts = np.zeros((3, len(players), len(players), 2), dtype=np.int64)  # draws, wins, losses: by the result's sign
    generator = np.random.default_rng(seed)
    for (i, first), (j, second) in permutations(enumerate(players), 2):
        names = dict(zip(agents, (first, second), strict=True))
        line_up = LineUp(env, {agent: players[name] for agent, name in names.items()}, deterministic)
        games = [line_up.play(generator) for _ in range(_positive(n_episodes))]
        for game in games:
            result = int(np.sign(game.returns[agents[0]] - game.returns[agents[1]]))
            counts[result, i, j, 0] += 1
            counts[-result, j, i, 1] += 1
        if len(games) > 1 and all(game.actions == games[0].actions for game in games):
            warnings.warn(
                f"all {n_episodes} games of {first} against {second} were the same; use deterministic=False",
                stacklevel=2,
            )
    env.close()
    return MatchTable(list(players), agents, wins=counts[1], draws=counts[0], losses=counts[-1])


def _made(env_fn: Callable[[], MultiAgentEnv]) -> MultiAgentEnv:
    env: Any = env_fn() if callable(env_fn) else env_fn
    if not callable(env_fn) or not isinstance(env, AECEnv | ParallelEnv):
        raise TypeError(f"env_fn must be a function that makes a PettingZoo environment, got {env!r} of {env_fn!r}")
    return env


def _assign(keys: list[str], agents: list[str]) -> dict[str, str]:
    """The key for each agent.

    >>> _assign(["adversary_*", "*"], ["adversary_0", "agent_0"])
    {'adversary_0': 'adversary_*', 'agent_0': '*'}
    """
    fits = {agent: [key for key in keys if fnmatchcase(agent, key)] for agent in agents}
    if idle := [key for key in keys if not any(key in found for found in fits.values())]:
        raise ValueError(f"there is no agent for {idle}; the environment has {agents}")
    if alone := [agent for agent, found in fits.items() if not found]:
        raise ValueError(f"nobody plays {alone}; add them to players, for example {{'*': 'random'}}")
    return {agent: found[0] for agent, found in fits.items()}


def _positive(n_episodes: int) -> int:
    if n_episodes < 1:
        raise ValueError(f"there is nothing to average over {n_episodes} episodes")
    return n_episodes
