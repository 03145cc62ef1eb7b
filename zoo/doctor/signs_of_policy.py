"""Signs of the policy: how it explores, how far it moves, where its actions lie."""

import numpy as np

from sb3_ext.zoo.doctor.finding import sign
from sb3_ext.zoo.doctor.record import Record, first_and_last
from sb3_ext.zoo.doctor.signs_of_values import is_right

# Entropy, or the standard deviation of actions, relative to its first value. Healthy policies get there, too, but later
# and on what is best. So: in the first fifth of the training, or the return has not risen, or none of the latest
# episodes comes near the best that was seen.
COLLAPSED = 0.05
EARLY = 0.2
NEAR_BEST = 0.75


@sign(
    "entropy collapsed",
    "the policy became deterministic before it had tried what is better",
    "try a higher ent_coef (0.01 to 0.1), a lower learning rate, more environments",
)
def entropy_collapsed(record: Record) -> str | None:
    """Whether the policy is deterministic early, or returns no more than at first, or less than it could."""
    steps, spread = record.points("train/std")
    if not len(spread):
        steps, spread = record.points("train/entropy_loss")
        spread = -spread
    if len(spread) < 10 or spread[0] <= 0:
        return None
    if record.facts.get("ent_coef", 0.0) < 0:
        return f"ent_coef is {record.facts['ent_coef']:g}: the loss pays for less entropy"
    low = spread < COLLAPSED * spread[0]
    returns = record.episodes("return")
    if not low[-5:].all() or len(returns) < 20:
        return None
    since = float(steps[np.flatnonzero(~low)[-1] + 1])
    first, last = first_and_last(returns)
    best, begun = float(returns.max()), float(first.mean())
    saw = f"below {COLLAPSED:.0%} of its first value since step {since:,.0f}"
    if last.mean() <= begun:
        return f"{saw}, and the return has not risen: {last.mean():.4g}"
    if last.max() < begun + NEAR_BEST * (best - begun):
        return f"{saw}; the latest episodes return {last.mean():.4g}, but one returned {best:.4g}"
    if since < EARLY * record.n_timesteps:
        return f"{saw} of {record.n_timesteps:,}: nothing else has been tried since"
    return None


# Approximate KL between the old policy and the new one: "usually below 0.02" (Huang et al. 2022, "37 implementation
# details of PPO"). Healthy runs: medians up to 0.05, single updates up to 1. Clip fraction: healthy up to 0.33.
KL_TOO_LARGE, KL_JUMP, CLIPPED = 0.15, 5.0, 0.5
KL_TOO_SMALL, KL_THAT_MOVES = 1e-6, 1e-3
FEW = 4  # gradient steps of a rollout: the KL that is logged is that before the last of them, so with one it is 0


@sign(
    "policy moves too far",
    "one update leaves the data it is computed from behind",
    "try fewer epochs, a lower learning rate, a smaller clip_range, target_kl=0.02",
)
def policy_moves_too_far(record: Record) -> str | None:
    """KL divergence of an update and clip fraction."""
    kl, clipped = record.values("train/approx_kl"), record.values("train/clip_fraction")
    if len(kl) and kl.max() > KL_JUMP:
        return f"an update moved the policy by a KL divergence of {kl.max():.3g}"
    if len(kl) >= 5 and np.median(kl) > KL_TOO_LARGE:
        return f"the KL divergence of an update is about {np.median(kl):.2g}"
    if len(clipped) >= 5 and np.median(clipped) > CLIPPED:
        return f"{np.median(clipped):.0%} of the ratios are clipped"
    return None


@sign(
    "policy hardly moves",
    "the policy's part of the gradient is lost, or the learning rate is far too low",
    "check the advantages' scale, requires_grad, the reward's scale against max_grad_norm",
)
def policy_hardly_moves(record: Record) -> str | None:
    """Whether the policy stays the same from the very beginning."""
    kl = record.values("train/approx_kl")
    if record.facts.get("gradient_steps", FEW) < FEW:
        return None
    if len(kl) < 5 or np.median(kl[:10]) > KL_TOO_SMALL or kl.max() > KL_THAT_MOVES:
        return None
    return f"the KL divergence of the first updates is {np.median(kl[:10]):.1g}"


# Actions at their bounds: the best policy of a pendulum or a car may be all or nothing for a while. Healthy: up to 0.8.
SATURATED = 0.9


@sign(
    "actions at their bounds",
    "the policy's mean or spread is far beyond what the environment takes",
    "try a smaller log_std_init, a lower actor learning rate, actions scaled to [-1, 1], smaller rewards",
)
def actions_at_their_bounds(record: Record) -> str | None:
    """The share of action components at or beyond a bound."""
    shares = record.values("doctor/saturation", since=0.5)
    if len(shares) < 5 or record.progress < 0.3 or np.median(shares) < SATURATED:
        return None
    return f"{np.median(shares):.0%} of the actions' components are at a bound"


USUAL_BONUS = 0.1  # RL Zoo's ent_coef is at most 0.1 (PPO, A2C)
STILL_RANDOM = 0.95


@sign(
    "always exploring",
    "most actions are drawn at random, whatever has been learned",
    "lower exploration_final_eps or exploration_fraction; or ent_coef",
)
def always_exploring(record: Record) -> str | None:
    """Whether epsilon, or an entropy that is paid for, is still high at the end."""
    if record.progress < 0.9:
        return None
    rates = record.values("rollout/exploration_rate")
    if len(rates) and rates[-1] >= 0.5:
        return f"the exploration rate is {rates[-1]:.2f} at the end"
    ent_coef, entropy = record.facts.get("ent_coef", 0.0), -record.values("train/entropy_loss")
    if ent_coef > USUAL_BONUS and len(entropy) >= 10 and np.median(entropy[-5:]) > STILL_RANDOM * entropy[0] > 0:
        share = np.median(entropy[-5:]) / entropy[0]
        return f"{share:.0%} of the first entropy are left at the end; ent_coef is {ent_coef:g}"
    return None


# With normalised advantages the surrogate is about 0.01 (healthy runs: up to 0.06). A DQN's or critic's loss changes by
# less than three times from one log to the next (healthy runs; the median of |difference of logarithms|).
SURROGATE = 0.15
FACTOR = 5.0


@sign(
    "loss oscillates",
    "steps overshoot: advantages are not normalised, clip_range or learning rate are too large",
    "try normalize_advantage=True, clip_range=0.2, a lower learning rate, a larger batch",
)
def loss_oscillates(record: Record) -> str | None:
    """How wildly the losses change from one log to the next."""
    surrogate = record.values("train/policy_gradient_loss")
    if len(surrogate) >= 10 and np.std(surrogate) > SURROGATE:
        return f"the policy loss swings by {np.std(surrogate):.2g} around {np.mean(surrogate):.2g}"
    for name in ("train/critic_loss", "train/loss"):
        losses = record.values(name, since=0.2)
        if name == "train/loss" and "rollout/exploration_rate" not in record:
            continue  # PPO's: that of one minibatch, and the sum of three
        losses = losses[losses > 0]
        if len(losses) >= 20 and not is_right(record, since=0.2):
            change = float(np.exp(np.median(np.abs(np.diff(np.log(losses))))))
            if change > FACTOR:
                return f"{name} changes by a factor of {change:.1f} from one log to the next"
    return None
