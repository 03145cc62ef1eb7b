"""Every exercise by its name: the right solution, the cases, and the mistakes that are known.

    returns.py     discounted_returns, gae
    targets.py     td_target, q_learning_update, shaping_reward
    networks.py    dqn_targets, double_dqn_targets
    losses.py      policy_gradient_loss, clipped_surrogate, kl_penalty
    groups.py      group_advantages
    choices.py     epsilon_greedy
    potentials.py  potential
    oracle.py      cases whose answer is known exactly: small worlds that are solved

The modules do not know one another, but for the oracle.
"""

from sb3_ext.zoo.check.exercise import Exercise
from sb3_ext.zoo.check.exercises import choices, groups, losses, networks, potentials, returns, targets
from sb3_ext.zoo.check.signatures import NAMES

_ALL = (
    *returns.EXERCISES, *targets.EXERCISES, *networks.EXERCISES, *losses.EXERCISES, *groups.EXERCISES,
    *choices.EXERCISES, *potentials.EXERCISES,
)  # fmt: skip

EXERCISES: dict[str, Exercise] = {name: next(one for one in _ALL if one.name == name) for name in NAMES}
