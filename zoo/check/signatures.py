"""The functions that ``sb3-ext check`` looks for, in the order of the exercise sheet, and their parameters.

The protocols that describe them at length are in ``sb3_ext/common/slots.py``. Nothing is imported here.
"""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "discounted_returns": ("rewards", "gamma"),
    "td_target": ("reward", "gamma", "next_value", "terminated"),
    "epsilon_greedy": ("q_values", "epsilon"),
    "q_learning_update": ("q_value", "reward", "next_q_values", "terminated", "learning_rate", "gamma"),
    "dqn_targets": ("rewards", "gamma", "next_q_values", "terminated"),
    "double_dqn_targets": ("rewards", "gamma", "next_q_values", "terminated", "next_online_q_values"),
    "policy_gradient_loss": ("log_probs", "advantages"),
    "gae": ("rewards", "values", "next_values", "terminated", "truncated", "gamma", "gae_lambda"),
    "clipped_surrogate": ("log_probs", "old_log_probs", "advantages", "clip_range"),
    "potential": ("observation",),
    "shaping_reward": ("potential", "next_potential", "gamma", "terminated"),
    "kl_penalty": ("log_probs", "ref_log_probs"),
    "group_advantages": ("returns",),
}
"""Name -> names of its parameters. They are handed in by position, so a learner may call them something else."""

NAMES = tuple(PARAMETERS)
