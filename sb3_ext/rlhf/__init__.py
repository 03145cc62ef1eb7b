"""RLHF on a small scale: language models as SB3 policies, rewards from preferences, the exact optimum beside them.

Where to read what:

    policies.py        a small causal language model as an SB3 policy (networks.py, and cache.py for fast writing)
    texts.py           texts and preferences as data; writing texts
    sft.py, dpo.py     learn from demonstrations, from preferences (offline.py: what they share)
    reward_model.py    scores from preferences (Bradley-Terry) or from labels
    kl_env.py          rewards with a KL penalty, for PPO, A2C, REINFORCE and GRPO
    exact.py           the optimum, where all responses can be listed
"""

from sb3_ext.rlhf.dpo import DPO
from sb3_ext.rlhf.exact import ExactOptimum, ExactReport, OptimumCallback
from sb3_ext.rlhf.kl_env import KLRewardCallback, KLRewardVecEnv, ScoreVecEnv
from sb3_ext.rlhf.policies import CausalLMPolicy
from sb3_ext.rlhf.reward_model import RewardModel
from sb3_ext.rlhf.sft import SFT
from sb3_ext.rlhf.texts import Preferences, Texts, generate, response_log_probs, sample_preferences

__all__ = [
    "DPO",
    "SFT",
    "CausalLMPolicy",
    "ExactOptimum",
    "ExactReport",
    "KLRewardCallback",
    "KLRewardVecEnv",
    "OptimumCallback",
    "Preferences",
    "RewardModel",
    "ScoreVecEnv",
    "Texts",
    "generate",
    "response_log_probs",
    "sample_preferences",
]
