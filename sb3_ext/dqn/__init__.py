"""The extensions of DQN up to Rainbow, each a switch of ``RainbowDQN``.

Read them in this order:

    rainbow.py            the switches, and how a gradient step comes about
    networks.py           dueling streams, noisy layers, distributions
    uniform_buffer.py     n steps
    prioritized_buffer.py prioritised replay
    overestimation.py     Q values against what followed, and against the exact ones
    policies.py           SB3's policies with these networks
    settings.py           what is refused
    presets.py            one name for each switch, and one for all
"""

from sb3_ext.dqn.overestimation import ExactOverestimation
from sb3_ext.dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, RainbowPolicy
from sb3_ext.dqn.presets import C51, DoubleDQN, DuelingDQN, NoisyDQN, PrioritizedDQN, Rainbow
from sb3_ext.dqn.prioritized_buffer import PrioritizedDictReplayBuffer, PrioritizedReplayBuffer
from sb3_ext.dqn.rainbow import RainbowDQN
from sb3_ext.dqn.uniform_buffer import UniformDictReplayBuffer, UniformReplayBuffer

__all__ = [
    "C51",
    "CnnPolicy",
    "DoubleDQN",
    "DuelingDQN",
    "ExactOverestimation",
    "MlpPolicy",
    "MultiInputPolicy",
    "NoisyDQN",
    "PrioritizedDQN",
    "PrioritizedDictReplayBuffer",
    "PrioritizedReplayBuffer",
    "Rainbow",
    "RainbowDQN",
    "RainbowPolicy",
    "UniformDictReplayBuffer",
    "UniformReplayBuffer",
]
