"""The warning signs: each a small function from a training's record to what it saw, or None.

Thresholds stand above the sign that uses them, with their source. "Healthy runs" are those of ``healthy.py``, of which
the widest value is given. A sign keeps silent where its series are missing, and as long as there is too little of them.
Where a sign has to know how a training begins or ends, it waits.
"""

from sb3_ext.zoo.doctor import signs_of_episodes, signs_of_learning, signs_of_policy, signs_of_values
from sb3_ext.zoo.doctor.finding import Finding, Sign
from sb3_ext.zoo.doctor.record import Record

SIGNS: tuple[Sign, ...] = (
    signs_of_learning.not_a_number,
    signs_of_learning.huge_rewards,
    signs_of_learning.huge_observations,
    signs_of_learning.wrong_advantages,
    signs_of_learning.never_updates,
    signs_of_learning.target_stands_still,
    signs_of_learning.steps_too_large,
    signs_of_learning.nothing_moves,
    signs_of_learning.part_never_moves,
    signs_of_learning.no_gradient,
    signs_of_values.values_diverge,
    signs_of_values.worse_than_the_mean,
    signs_of_policy.entropy_collapsed,
    signs_of_policy.policy_moves_too_far,
    signs_of_policy.policy_hardly_moves,
    signs_of_policy.actions_at_their_bounds,
    signs_of_policy.always_exploring,
    signs_of_policy.loss_oscillates,
    signs_of_episodes.never_ends,
    signs_of_episodes.ends_at_once,
    signs_of_episodes.no_reward,
    signs_of_episodes.always_the_same,
    signs_of_episodes.getting_worse,
    signs_of_episodes.reward_hacking,
)


def examine(record: Record) -> list[Finding]:
    """Every sign that a record shows."""
    found = (each.find(record) for each in SIGNS)
    return [finding for finding in found if finding is not None]
