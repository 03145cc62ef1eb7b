"""Multi-agent training on PettingZoo's environments with Stable-Baselines3's algorithms.

``PettingZooVecEnv``: one model plays all agents (parameter sharing). ``IndependentLearners``: a model for each agent or
group, of any algorithms, trained side by side. ``SelfPlayEnv``: a turn-based game against opponents, from an
``OpponentPool``; ``SelfPlayVecEnv``: many boards of it at once. ``CentralizedCriticPolicy`` with
``CentralizedObservation``: acting on one's own observation, judged with everybody's.

The names are loaded when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.multi_agent.alive_only import (
        AliveDictReplayBuffer,
        AliveDictRolloutBuffer,
        AliveMaskableDictRolloutBuffer,
        AliveMaskableRolloutBuffer,
        AliveReplayBuffer,
        AliveRolloutBuffer,
        AliveVecNormalize,
    )
    from sb3_ext.multi_agent.centralized_critic import CentralizedCriticPolicy
    from sb3_ext.multi_agent.centralized_observation import CentralizedObservation
    from sb3_ext.multi_agent.evaluation import evaluate_matches, evaluate_multi_agent
    from sb3_ext.multi_agent.independent import IndependentLearners
    from sb3_ext.multi_agent.opponent_pool import OpponentPool
    from sb3_ext.multi_agent.pettingzoo_vec_env import PettingZooVecEnv
    from sb3_ext.multi_agent.self_play import SelfPlayEnv
    from sb3_ext.multi_agent.self_play_callback import SelfPlayCallback
    from sb3_ext.multi_agent.self_play_vec_env import SelfPlayVecEnv
    from sb3_ext.multi_agent.team_callback import TeamCallback

_HOME_OF = {
    **dict.fromkeys(
        (
            "AliveDictReplayBuffer",
            "AliveDictRolloutBuffer",
            "AliveMaskableDictRolloutBuffer",
            "AliveMaskableRolloutBuffer",
            "AliveReplayBuffer",
            "AliveRolloutBuffer",
            "AliveVecNormalize",
        ),
        "alive_only",
    ),
    "CentralizedCriticPolicy": "centralized_critic",
    "CentralizedObservation": "centralized_observation",
    "IndependentLearners": "independent",
    "OpponentPool": "opponent_pool",
    "PettingZooVecEnv": "pettingzoo_vec_env",
    "SelfPlayCallback": "self_play_callback",
    "SelfPlayEnv": "self_play",
    "SelfPlayVecEnv": "self_play_vec_env",
    "TeamCallback": "team_callback",
    "evaluate_matches": "evaluation",
    "evaluate_multi_agent": "evaluation",
}

__all__ = [
    "AliveDictReplayBuffer",
    "AliveDictRolloutBuffer",
    "AliveMaskableDictRolloutBuffer",
    "AliveMaskableRolloutBuffer",
    "AliveReplayBuffer",
    "AliveRolloutBuffer",
    "AliveVecNormalize",
    "CentralizedCriticPolicy",
    "CentralizedObservation",
    "IndependentLearners",
    "OpponentPool",
    "PettingZooVecEnv",
    "SelfPlayCallback",
    "SelfPlayEnv",
    "SelfPlayVecEnv",
    "TeamCallback",
    "evaluate_matches",
    "evaluate_multi_agent",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sb3_ext.multi_agent' has no attribute {name!r}; it has {', '.join(_HOME_OF)}")
    value = getattr(import_module(f"sb3_ext.multi_agent.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
