"""Fast vectorised environments behind Stable-Baselines3's ``VecEnv`` interface.

``make_vec_env`` takes SB3's arguments and chooses the fastest backend that keeps SB3's meaning; the classes behind it
can be used on their own.
"""

from sb3_ext.vec_env.cartpole import SameStepCartPole
from sb3_ext.vec_env.envpool_vec_env import EnvPoolVecEnv
from sb3_ext.vec_env.gymnasium_vec_env import GymnasiumVecEnv
from sb3_ext.vec_env.make import ENVPOOL_VERIFIED_IDS, make_vec_env

__all__ = ["ENVPOOL_VERIFIED_IDS", "EnvPoolVecEnv", "GymnasiumVecEnv", "SameStepCartPole", "make_vec_env"]
