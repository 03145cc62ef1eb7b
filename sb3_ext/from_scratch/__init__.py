"""PPO, A2C and DQN, from scratch, each short enough to read at a sitting. For work, take Stable-Baselines3's.

Each ``train()`` is the pure functions of ``common/`` in order, and learns what SB3's learns, to the last digit or so.

Read them in this order:

    on_policy.py    how the first two play, and a slot for their advantages
    a2c.py    an actor, a critic, one gradient step
    ppo.py    ... and several steps on the same data, made safe by a clip
    dqn.py    no actor: Q-learning with a network, a replay buffer and a target network
"""

from sb3_ext.from_scratch.a2c import A2CScratch
from sb3_ext.from_scratch.dqn import DQNScratch
from sb3_ext.from_scratch.ppo import PPOScratch

__all__ = ["A2CScratch", "DQNScratch", "PPOScratch"]
