"""Where estimators of a gradient are tried: a world, a policy, and the exact gradients that they are held against.

"grad J"         J being the discounted return of an episode that a time limit ends
"practical"      the same sum with P(S_t = s) in place of gamma^t P(S_t = s), and V(S_T) for what a time limit cut
off: what A2C and PPO follow
of_entropy, of_forward_kl, of_reverse_kl      of the sum of these over the states of an episode, the states being
data, as for a bonus or a penalty in a loss
of_penalised_return      of the discounted sum of R - KL(pi | ref), states included
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sb3_ext.oracle.exact import solve_policy, state_occupancy
from sb3_ext.oracle.gradient import SoftmaxTable, exact_policy_gradient
from sb3_ext.tabular.mdp import TabularMDP

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Setting:
    """Where estimators are tried.

    Attributes:
        mdp: The world.
        logits: Preferences of the softmax policy [S, A].
        gamma: Discount.
        horizon: Time limit, steps.
        batch_size: Episodes an estimate.
        group_size: Members of a group.
        reference: pi_ref(a | s) [S, A], which the KL terms compare with.
        learning_rate: Of the gradient steps that clipped surrogates are tried after.
    """

    mdp: TabularMDP
    logits: Floats
    gamma: float
    horizon: int
    batch_size: int
    group_size: int
    reference: Floats
    learning_rate: float = 1.0

    @property
    def probabilities(self) -> Floats:
        """pi(a | s) [S, A]."""
        return softmax(self.logits)

    def values(self) -> Floats:
        """V(s) [S] without a time limit, exactly."""
        return solve_policy(self.mdp, self.probabilities, self.gamma).values

    def gradient(self, practical: bool = False) -> Floats:
        """The exact gradient [S, A]: of J, or the practical one."""
        table = SoftmaxTable(self.logits)
        flat = exact_policy_gradient(
            self.mdp, table(), table.parameters(), self.gamma, self.horizon, practical, not practical
        )
        return flat.numpy().reshape(self.logits.shape)


def softmax(logits: Floats) -> Floats:
    """Probabilities from preferences, over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


# ---- Targets: exact gradients [S, A] --------------------------------------------------------------------------------


def of_return(setting: Setting) -> Floats:
    """Grad J."""
    return setting.gradient()


def practical(setting: Setting) -> Floats:
    """Without gamma^t, time limits bootstrapped."""
    return setting.gradient(practical=True)


def _visits(setting: Setting) -> Floats:
    """Mean number of visits to each state in an episode, [S, 1]."""
    return state_occupancy(setting.mdp, setting.probabilities, 1.0, setting.horizon).sum(axis=0)[:, None]


def of_entropy(setting: Setting) -> Floats:
    """Of the sum of entropies over an episode, its states being data."""
    return _visits(setting) * entropy_gradient(setting)


def of_forward_kl(setting: Setting) -> Floats:
    """Of the sum of KL(pi | ref), its states being data, with the sign of a penalty."""
    pi = setting.probabilities
    log_ratio = np.log(pi) - np.log(setting.reference)
    divergence = (pi * log_ratio).sum(axis=1, keepdims=True)
    return -_visits(setting) * pi * (log_ratio - divergence)


def of_reverse_kl(setting: Setting) -> Floats:
    """Of the sum of KL(ref | pi), its states being data, with the sign of a penalty."""
    return -_visits(setting) * (setting.probabilities - setting.reference)


def of_penalised_return(setting: Setting) -> Floats:
    """Of the discounted sum of R - KL(pi | ref), states included: k1 as a part of the reward."""
    k1 = np.log(setting.probabilities) - np.log(setting.reference)
    penalised = replace(setting.mdp, reward=setting.mdp.reward - k1[:, :, None])
    return replace(setting, mdp=penalised).gradient()


def entropy_gradient(setting: Setting) -> Floats:
    """D H(pi(.|s)) / d h(s, a) = - pi(a|s) (log pi(a|s) + H(s)), [S, A]."""
    pi = setting.probabilities
    entropy = -(pi * np.log(pi)).sum(axis=1, keepdims=True)
    return -pi * (np.log(pi) + entropy)
