"""The mathematics as pure functions: no Stable-Baselines3, no Gymnasium in here.

Read them in this order:

    returns.py      discounted, n-step and lambda-returns
    advantages.py   GAE, the leave-one-out baseline, scaling
    group_advantages.py   returns against those of others from the same start
    losses.py       policy gradient and entropy, in PyTorch
    clipped_losses.py     importance ratios and clips: several steps on the same data
    actor_critic_losses.py    what A2C and PPO are made of
    td_losses.py    what DQN is made of
    slots.py        the signatures of functions of your own that take the place of ours
    kl.py           how far two policies are apart
    gradients.py    how much a gradient estimate scatters
    episodes.py     whole episodes from parallel environments
    exploration.py  epsilon-greedy, Boltzmann, upper confidence bounds
    checks.py       numbers that are not finite
    random_numbers.py, compiling.py    what compiled loops are made of
"""

from sb3_ext.common.actor_critic_losses import (
    a2c_policy_loss,
    clipped_value_loss,
    normalize_advantages,
    ppo_policy_loss,
    value_loss,
)
from sb3_ext.common.advantages import (
    generalized_advantage_estimation,
    leave_one_out_baseline,
    rescale,
    standardize,
)
from sb3_ext.common.checks import refuse_non_finite
from sb3_ext.common.clipped_losses import (
    aggregation_weights,
    cispo_loss,
    clip_fraction,
    clipped_surrogate_loss,
    episode_importance_ratios,
    importance_ratios,
)
from sb3_ext.common.episodes import EpisodeBuffer, Episodes, take
from sb3_ext.common.exploration import UCB, Boltzmann, EpsilonGreedy, Exploration
from sb3_ext.common.gradients import flat_gradient, gradient_variance
from sb3_ext.common.group_advantages import group_relative_advantages, zero_variance_groups
from sb3_ext.common.kl import kl_k1, kl_k3
from sb3_ext.common.losses import categorical_entropy, entropy_loss, policy_gradient_loss
from sb3_ext.common.returns import discounted_returns, lambda_returns, n_step_returns
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets, td_loss, td_target

__all__ = [
    "UCB",
    "Boltzmann",
    "EpisodeBuffer",
    "Episodes",
    "EpsilonGreedy",
    "Exploration",
    "a2c_policy_loss",
    "aggregation_weights",
    "categorical_entropy",
    "cispo_loss",
    "clip_fraction",
    "clipped_surrogate_loss",
    "clipped_value_loss",
    "discounted_returns",
    "double_dqn_targets",
    "dqn_targets",
    "entropy_loss",
    "episode_importance_ratios",
    "flat_gradient",
    "generalized_advantage_estimation",
    "gradient_variance",
    "group_relative_advantages",
    "importance_ratios",
    "kl_k1",
    "kl_k3",
    "lambda_returns",
    "leave_one_out_baseline",
    "n_step_returns",
    "normalize_advantages",
    "policy_gradient_loss",
    "ppo_policy_loss",
    "refuse_non_finite",
    "rescale",
    "standardize",
    "take",
    "td_loss",
    "td_target",
    "value_loss",
    "zero_variance_groups",
]
