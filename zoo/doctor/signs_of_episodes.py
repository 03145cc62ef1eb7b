"""Signs of what an agent gets: returns and lengths of its episodes."""

import math

import numpy as np

from sb3_ext.zoo.doctor.finding import sign
from sb3_ext.zoo.doctor.record import Floats, Record, first_and_last

ENDLESS = 5_000  # steps of one environment; those of Gymnasium end after 1,600 at most, Atari's after about 3,000


@sign(
    "never ends",
    "nothing cuts episodes, and the agent may walk in circles for ever",
    "give max_episode_steps to gym.register or gym.make; check that step() returns terminated",
)
def never_ends(record: Record) -> str | None:
    """Whether no environment has ended an episode for long."""
    steps = record.values("doctor/since_an_end")
    if not len(steps) or steps[-1] < ENDLESS:
        return None
    return f"no episode has ended in the latest {steps[-1]:,.0f} steps of each environment"


@sign(
    "ends at once",
    "the environment ends in its first step (right for a bandit, wrong for anything else)",
    "play some episodes by hand: sb3-ext doctor --env ID; look at what sets terminated",
)
def ends_at_once(record: Record) -> str | None:
    """Whether every episode takes one step."""
    lengths = record.values("episode/length")
    if len(lengths) < 40 or lengths.max() > 1:
        return None
    return f"each of {len(lengths):,} episodes lasts one step"


@sign(
    "no reward",
    "random play does not find it, or step() does not pay",
    "try shaping (PotentialShaping), more exploration, starts near the goal; check the reward by hand",
)
def no_reward(record: Record) -> str | None:
    """Whether no episode has paid anything by half of the training."""
    returns, rewards = record.values("episode/return"), record.values("doctor/rewards")
    if len(returns) < 20 or record.progress < 0.5 or np.any(returns != 0) or np.any(rewards != 0):
        return None
    return f"each of {len(returns):,} episodes returns 0"


@sign(
    "always the same",
    "the environment does not react, ends at once, or the agent is caught in a loop",
    "play some episodes by hand: sb3-ext doctor --env ID, or render them",
)
def always_the_same(record: Record) -> str | None:
    """Whether every late episode has the same length and return, and no better one than the first."""
    returns, lengths = record.episodes("return"), record.episodes("length")
    if not ("episode/return" in record and len(returns) >= 40 and len(returns) == len(lengths)):
        return None
    first, last = first_and_last(returns)
    _, last_lengths = first_and_last(lengths)
    if np.ptp(last) > 0 or np.ptp(last_lengths) > 0 or last[0] > first.mean() + 1e-9:
        return None
    return f"the latest {len(last):,} episodes last {last_lengths[0]:.0f} steps and return {last[0]:.4g}, each of them"


# Wrong signs make it worse than chance. Healthy off-policy agents begin with a dip, so this waits for three quarters;
# then the latest episodes must lie below the first by three standard errors and by half of their scatter.
ERRORS, SCATTERS = 3.0, 0.5


@sign(
    "getting worse",
    "a wrong sign in loss or advantage, learning that has broken down, or a training that ends in its first dip",
    "check each term's sign; if it was better in between, lower the learning rate; else train longer",
)
def getting_worse(record: Record) -> str | None:
    """Whether the latest episodes return less than the first."""
    returns = record.episodes("return")
    if len(returns) < 40 or record.progress < 0.75:
        return None
    first, last = first_and_last(returns)
    if not falls(first, last):
        return None
    return f"the latest episodes return {last.mean():.4g} on average, the first {first.mean():.4g}"


@sign(
    "reward hacking",
    "the agent is paid for something else than what was meant",
    "use PotentialShaping, or find which term pays: RewardTermsCallback logs each",
)
def reward_hacking(record: Record) -> str | None:
    """Whether the shaped return rises while the raw one falls."""
    for where, name in (("episode", "return"), ("rollout", "return_mean")):
        paid, meant = record.values(f"{where}/shaped_{name}"), record.values(f"{where}/raw_{name}")
        if min(len(paid), len(meant)) < 40 or record.progress < 0.3:
            continue
        (up_first, up_last), (down_first, down_last) = first_and_last(paid), first_and_last(meant)
        if falls(-up_first, -up_last) and falls(down_first, down_last):
            return (f"the shaped return rises from {up_first.mean():.3g} to {up_last.mean():.3g}, "
                    f"the raw one falls from {down_first.mean():.3g} to {down_last.mean():.3g}")  # fmt: skip
    return None


def falls(first: Floats, last: Floats) -> bool:
    """Whether the mean falls by more than chance, and by enough to matter."""
    error = math.sqrt(first.var() / len(first) + last.var() / len(last))
    return bool(last.mean() < first.mean() - max(ERRORS * error, SCATTERS * float(first.std()), 1e-9))
