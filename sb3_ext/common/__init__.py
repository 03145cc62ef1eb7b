"""The mathematics as pure functions: no Stable-Baselines3, no Gymnasium in here.

Read them in this order:

    returns.py      discounted, n-step and lambda-returns
    advantages.py   GAE, the leave-one-out baseline, scaling
    group_advantages.py   returns against those of others from the same start
    losses.py       policy gradient and entropy, in PyTorch
    clipped_losses.py     importance ratios and clips: several steps on the same data
    actor_critic_losses.py    what A2C and PPO are made of
    td_losses.py    what DQN is made of
    replay_windows.py, prioritized.py, sum_tree.py, distributional.py    what Rainbow adds to it
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
from sb3_ext.common.calibration import calibration
from sb3_ext.common.checks import refuse_non_finite
from sb3_ext.common.clipped_losses import (
    aggregation_weights,
    cispo_loss,
    clip_fraction,
    clipped_surrogate_loss,
    episode_importance_ratios,
    importance_ratios,
)
from sb3_ext.common.distributional import categorical_losses, categorical_targets, make_atoms, project_distribution
from sb3_ext.common.episodes import EpisodeBuffer, Episodes, take
from sb3_ext.common.exploration import UCB, Boltzmann, EpsilonGreedy, Exploration
from sb3_ext.common.gradients import flat_gradient, gradient_variance
from sb3_ext.common.group_advantages import group_relative_advantages, zero_variance_groups
from sb3_ext.common.kl import kl_k1, kl_k3
from sb3_ext.common.kl_control import adapted_beta, kl_penalised_rewards
from sb3_ext.common.kl_optimum import kl_divergence, kl_objective, optimal_log_probs
from sb3_ext.common.losses import categorical_entropy, entropy_loss, policy_gradient_loss
from sb3_ext.common.preferences import bradley_terry_loss, dpo_loss, ipo_loss, kto_loss, orpo_loss
from sb3_ext.common.prioritized import annealed_beta, importance_weights, priorities, stratified_targets
from sb3_ext.common.replay_windows import n_step_rewards
from sb3_ext.common.returns import discounted_returns, lambda_returns, n_step_returns
from sb3_ext.common.sum_tree import SumTree
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets, td_loss, td_target

__all__ = [
    "UCB",
    "Boltzmann",
    "EpisodeBuffer",
    "Episodes",
    "EpsilonGreedy",
    "Exploration",
    "SumTree",
    "a2c_policy_loss",
    "adapted_beta",
    "aggregation_weights",
    "annealed_beta",
    "bradley_terry_loss",
    "calibration",
    "categorical_entropy",
    "categorical_losses",
    "categorical_targets",
    "cispo_loss",
    "clip_fraction",
    "clipped_surrogate_loss",
    "clipped_value_loss",
    "discounted_returns",
    "double_dqn_targets",
    "dpo_loss",
    "dqn_targets",
    "entropy_loss",
    "episode_importance_ratios",
    "flat_gradient",
    "generalized_advantage_estimation",
    "gradient_variance",
    "group_relative_advantages",
    "importance_ratios",
    "importance_weights",
    "ipo_loss",
    "kl_divergence",
    "kl_k1",
    "kl_k3",
    "kl_objective",
    "kl_penalised_rewards",
    "kto_loss",
    "lambda_returns",
    "leave_one_out_baseline",
    "make_atoms",
    "n_step_returns",
    "n_step_rewards",
    "normalize_advantages",
    "optimal_log_probs",
    "orpo_loss",
    "policy_gradient_loss",
    "ppo_policy_loss",
    "priorities",
    "project_distribution",
    "refuse_non_finite",
    "rescale",
    "standardize",
    "stratified_targets",
    "take",
    "td_loss",
    "td_target",
    "value_loss",
    "zero_variance_groups",
]
