"""Signs of the critic: values that no return can reach, predictions that are worse than none."""

import math

import numpy as np

from sb3_ext.zoo.doctor.finding import sign
from sb3_ext.zoo.doctor.record import Record

# No episode of L steps can return more than max |r| (1 - gamma^L) / (1 - gamma), and where time cuts episodes, so that
# values reach beyond their end, L is infinite. Van Hasselt et al. 2018 ("Deep RL and the Deadly Triad") call it soft
# divergence if |Q| exceeds 1 / (1 - gamma). Twice that: entropy counts in SAC's values, and estimates overshoot for a
# while. Healthy runs: up to 0.8 of the bound. A log knows no rewards: there it is the critic's error against returns.
BEYOND = 2.0
LOSS_BEYOND = 30.0


@sign(
    "values diverge",
    "bootstrapping feeds on itself: no terminal mask, fast targets, steps too large, a wrong sign or discount",
    "check (1 - terminated) in the target, the loss's sign, gamma; try slower targets, smaller steps",
)
def values_diverge(record: Record) -> str | None:
    """Whether Q values are larger than any return can be."""
    gamma = record.facts.get("gamma")
    if gamma is not None and gamma > 1:
        return f"gamma is {gamma:g}: the sum of rewards has no bound"
    values, bound = record.values("doctor/values", since=0.8), largest_return(record)
    if len(values) >= 5 and 0 < bound < np.median(values) / BEYOND:
        return f"|Q| reaches {np.median(values):,.3g}, but no episode can return more than {bound:,.3g}"
    error = critic_error(record, since=0.8)
    size = float(np.abs(record.episodes("return")).max(initial=0.0))
    if error is not None and size > 0 and error > LOSS_BEYOND * size:
        return f"the critic is wrong by about {error:,.3g}, and no episode returned more than {size:,.3g}"
    return None


def largest_return(record: Record) -> float:
    """The largest discounted return that the rewards and lengths seen allow; infinite where nothing bounds it."""
    gamma, rewards, lengths = (
        record.facts.get("gamma"), record.values("doctor/largest_reward"), record.values("episode/length")
    )  # fmt: skip
    if gamma is None or not len(rewards):
        return math.inf
    is_cut = bool(record.values("doctor/truncations").any()) or not len(lengths)
    length = math.inf if is_cut else float(lengths.max())
    if gamma == 1:
        return float(rewards.max()) * length
    return float(rewards.max()) * (1 - gamma**length) / (1 - gamma)


# Explained variance of 1 is perfect; 0 is what the mean of the returns reaches, and all there can be where returns are
# chance (healthy runs: from -0.005 on). A critic that is right to 5 % has nothing left to explain.
FAR_WORSE = -0.5
RIGHT = 0.05


@sign(
    "worse than the mean",
    "the critic is wrong, or a loss of the wrong sign drives it away from its targets",
    "check the value loss and its targets; try a lower learning rate, smaller rewards",
)
def worse_than_the_mean(record: Record) -> str | None:
    """Whether a trained critic predicts worse than a constant would (explained variance below 0)."""
    explained = record.values("train/explained_variance", since=0.5)
    if len(explained) < 5 or record.progress < 0.5 or "train/value_loss" not in record:
        return None
    if np.median(explained) > FAR_WORSE or is_right(record, since=0.5):
        return None
    return f"explained variance is {np.median(explained):.3g} in the second half; 0 is what a constant reaches"


def is_right(record: Record, since: float) -> bool:
    """Whether the critic's error is small beside its values."""
    error, values = critic_error(record, since), record.values("doctor/values", since=since)
    if error is None:
        return True
    losses = record.values("train/value_loss")
    size = float(np.median(values)) if len(values) else math.sqrt(losses.max()) if len(losses) else 0.0
    return error < RIGHT * size


def critic_error(record: Record, since: float) -> float | None:
    """The root mean square error of the critic in a part of the training; None if it logs none."""
    for name, power in (("train/value_loss", 0.5), ("train/critic_loss", 0.5), ("train/loss", 1.0)):
        if name == "train/loss" and "rollout/exploration_rate" not in record:
            continue  # only DQN's is the critic's alone; a Huber loss, which grows as the error
        losses = record.values(name, since=since)
        if len(losses):
            return float(np.median(np.maximum(losses, 0.0)) ** power)
    return None
