"""GRPO: groups of episodes from the same start, compared with each other instead of with a learned value."""

from sb3_ext.grpo.grpo import GRPO
from sb3_ext.grpo.policies import ActorCnnPolicy, ActorPolicy, MultiInputActorPolicy

__all__ = ["GRPO", "ActorCnnPolicy", "ActorPolicy", "MultiInputActorPolicy"]
