"""The policy that others are held against: a copy whose weights stay as they are."""

from copy import deepcopy

from stable_baselines3.common.policies import BasePolicy


def frozen_copy(policy: BasePolicy) -> BasePolicy:
    """A copy that is never trained."""
    copy = deepcopy(policy).requires_grad_(False)
    copy.set_training_mode(False)
    return copy


def check_same_shape(policy: BasePolicy, reference: BasePolicy) -> None:
    """Refuses a reference whose actor has other weights than the policy's, or uses them in another way.

    Raises:
        ValueError: naming the weights and both shapes, or the settings of both networks.
    """
    nets = [getattr(each, "net_kwargs", None) for each in (policy, reference)]
    if None not in nets and nets[0] != nets[1]:  # the number of heads is in no weight's shape
        raise ValueError(f"reference_policy has another shape than the policy: {nets[1]}, not {nets[0]}")
    own, given = (
        {name: tuple(value.shape) for name, value in each.state_dict().items() if not name.startswith(CRITIC)}
        for each in (policy, reference)
    )
    wrong = {name: (own.get(name), given.get(name)) for name in own | given if own.get(name) != given.get(name)}
    if wrong:
        raise ValueError(f"reference_policy has another shape than the policy: (policy's, its) {wrong}")


CRITIC = ("value_net", "vf_features_extractor")  # what a critic alone has
