"""What learning methods estimate, computed exactly: the yardstick for their bias and variance.

Read them in this order:

    exact.py         J, V, Q, A and the occupancy of any policy on a ``TabularMDP``, with and without a time limit
    gradient.py      grad J of any differentiable policy, by the policy gradient theorem
    bellman.py       the exact targets of value methods, and how far a computed target is from them
    maximization.py  how much a maximum over noisy values overestimates, and a double estimator underestimates
    setting.py       where estimators of the gradient are tried, and the exact gradients that they are held against
    plays.py         many batches of episodes at once
    weights.py       what each way of learning multiplies grad log pi by
    estimators.py    the bias and the variance of all of them (``sb3-ext oracle`` shows them)
"""

from sb3_ext.oracle.bellman import (
    TargetErrors,
    Transitions,
    all_transitions,
    bellman_optimality_residual,
    compare_targets,
    expected_double_q_target,
    expected_q_learning_target,
)
from sb3_ext.oracle.estimators import ESTIMATORS, Estimator, Measured, measure
from sb3_ext.oracle.exact import ExactSolution, solve_policy, state_occupancy
from sb3_ext.oracle.gradient import SoftmaxTable, exact_policy_gradient, policy_probabilities, weighted_gradient
from sb3_ext.oracle.maximization import (
    MaximizationBias,
    gaussian_maximization_bias,
    greedy_probabilities,
    table_maximization_bias,
    target_bias,
)
from sb3_ext.oracle.setting import Setting

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "ExactSolution",
    "MaximizationBias",
    "Measured",
    "Setting",
    "SoftmaxTable",
    "TargetErrors",
    "Transitions",
    "all_transitions",
    "bellman_optimality_residual",
    "compare_targets",
    "exact_policy_gradient",
    "expected_double_q_target",
    "expected_q_learning_target",
    "gaussian_maximization_bias",
    "greedy_probabilities",
    "measure",
    "policy_probabilities",
    "solve_policy",
    "state_occupancy",
    "table_maximization_bias",
    "target_bias",
    "weighted_gradient",
]
