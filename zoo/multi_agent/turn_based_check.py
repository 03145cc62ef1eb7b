"""Compares SelfPlayEnv with the raw environment, transition by transition, over random play.

The raw environment is a second copy that is given the same seeds and the same actions. The comparison does not lean on
``last()``: it adds up ``rewards`` after every single move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pettingzoo import AECEnv
from pettingzoo.utils import BaseWrapper

from sb3_ext.multi_agent.masking import without_mask
from sb3_ext.multi_agent.opponents import RandomOpponent
from sb3_ext.multi_agent.self_play import SelfPlayEnv

CLASSIC_IDS = (
    "classic/chess_v6",
    "classic/connect_four_v3",
    "classic/go_v5",
    "classic/hanabi_v5",
    "classic/leduc_holdem_v4",
    "classic/rps_v2",
    "classic/texas_holdem_no_limit_v6",
    "classic/texas_holdem_v4",
    "classic/tictactoe_v3",
)


@dataclass
class TransitionCheck:
    """What was compared.

    Attributes:
        steps: Transitions of the learner.
        moves: Actions of all agents.
        terminated: Episodes that ended by the rules.
        truncated: Episodes that were cut off.
        problem: The first difference, or None.
    """

    steps: int = 0
    moves: int = 0
    terminated: int = 0
    truncated: int = 0
    problem: str | None = None


class _Recorder(BaseWrapper[Any, Any, Any]):
    """Notes every reset and action."""

    def __init__(self, env: AECEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.log: list[tuple[str, Any]] = []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.log = [("reset", seed)]  # a game that ended before the learner's turn is none of its
        super().reset(seed=seed, options=options)

    def step(self, action: Any) -> None:
        self.log.append(("step", action))
        super().step(action)


class _Raw:
    """The second copy, which replays the notes."""

    def __init__(self, env: AECEnv[Any, Any, Any]) -> None:
        self.env = env
        self.since_turn: dict[str, float] = {}  # reward of each agent since the learner's last turn
        self.totals: dict[str, float] = {}
        self.moves = 0

    def replay(self, log: list[tuple[str, Any]], seat: str) -> None:
        """Replays notes up to the learner's next turn, or all if it has none, and strikes them out."""
        self.since_turn = dict.fromkeys(self.env.possible_agents, 0.0)
        while log:
            kind, value = log.pop(0)
            if kind == "reset":
                self.env.reset(seed=value)
                self.totals = dict.fromkeys(self.env.possible_agents, 0.0)
            else:
                self._step(value)
            if self.env.agents and self.env.agent_selection == seat:
                return

    def _step(self, action: Any) -> None:
        self.env.step(action)
        if action is None:  # a dead agent leaves: nobody is rewarded
            return
        self.moves += 1
        for agent, reward in self.env.rewards.items():
            self.since_turn[agent] += reward
            self.totals[agent] += reward


def check_transitions(
    env_fn: Callable[[], AECEnv[Any, Any, Any]], n_steps: int = 1000, seed: int = 0
) -> TransitionCheck:
    """Plays random legal actions and compares until something differs or ``n_steps`` transitions agree.

    Observations, masks, rewards, ``terminated``, ``truncated`` and the result of each game must be equal.

    Args:
        env_fn: Makes the AEC environment.
        n_steps: Transitions of the learner.
        seed: Of the environment, the opponents and the learner.
    """
    recorder, raw = _Recorder(env_fn()), _Raw(env_fn())
    env = SelfPlayEnv(recorder, RandomOpponent())
    learner, generator, check = RandomOpponent(), np.random.default_rng(seed), TransitionCheck()
    observation, _ = env.reset(seed=seed)
    raw.replay(recorder.log, env.seat)
    early_reward = raw.since_turn[env.seat]
    check.problem = _difference(raw, env, observation, early_reward, False, False)
    while check.problem is None and check.steps < n_steps:
        action = learner(observation, env.action_masks(), env.seat, generator)
        observation, reward, terminated, truncated, info = env.step(action)
        raw.replay(recorder.log, env.seat)
        check.steps += 1
        check.problem = _difference(raw, env, observation, reward - early_reward, terminated, truncated)
        early_reward = 0.0
        if check.problem is None and (terminated or truncated):
            check.terminated += terminated
            check.truncated += truncated
            raw.replay(recorder.log, seat="")
            check.problem = _result_difference(raw, info["self_play"])
            observation, _ = env.reset()
            raw.replay(recorder.log, env.seat)
            early_reward = raw.since_turn[env.seat]
    check.moves = raw.moves
    env.close()
    raw.env.close()
    return check


def _difference(
    raw: _Raw, env: SelfPlayEnv, observation: Any, reward: float, terminated: bool, truncated: bool
) -> str | None:
    seat = env.seat
    if raw.env.agent_selection != seat:
        return f"the raw environment asks {raw.env.agent_selection}, SelfPlayEnv {seat}"
    pairs = {
        "observation": (without_mask(raw.env.observe(seat)), observation),
        "reward": (raw.since_turn[seat], reward),
        "terminated": (raw.env.terminations[seat], terminated),
        "truncated": (raw.env.truncations[seat], truncated),
    }
    if not (terminated or truncated):
        pairs["mask"] = (_raw_mask(raw.env, seat), env.action_masks())
    for name, (theirs, ours) in pairs.items():
        if not np.array_equal(theirs, ours):
            return f"{name} of {seat}: raw {theirs}, SelfPlayEnv {ours}"
    return None


def _raw_mask(env: AECEnv[Any, Any, Any], seat: str) -> Any:
    observation = env.observe(seat)
    if isinstance(observation, dict):
        return np.asarray(observation["action_mask"]) == 1
    return np.full(env.action_space(seat).n, True)


def _result_difference(raw: _Raw, summary: dict[str, Any]) -> str | None:
    own = raw.totals[summary["seat"]]
    for agent, result in summary["results"].items():
        if result != np.sign(own - raw.totals[agent]):
            return f"result {result} against {agent}, but the raw returns are {raw.totals}"
    return None
