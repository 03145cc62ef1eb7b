"""Signs of what goes into the weights: numbers, advantages, targets, gradients."""

import numpy as np

from sb3_ext.zoo.doctor.finding import sign
from sb3_ext.zoo.doctor.record import Record


@sign(
    "NaN",
    "a division by 0, a logarithm of 0 or an overflow, in the environment or by steps too large",
    "try SB3's VecCheckNan(env, raise_exception=True), which says where it comes from; then a lower learning rate",
)
def not_a_number(record: Record) -> str | None:
    """NaN or infinity in rewards, observations or what is logged."""
    for name in [name for name in record.series if name.startswith("nonfinite/")]:
        step = record.series[name].steps[0]
        return f"{name.removeprefix('nonfinite/')}: NaN or infinite at step {step:,.0f}"
    return None


# The gradient of a squared error grows with the reward: beyond this, clipping by norm (0.5 in PPO and A2C) leaves the
# policy no part of the step, and Adam needs 1 / learning_rate steps for V to get there. Healthy runs: up to 17.
HUGE_REWARD = 1_000.0


@sign(
    "huge rewards",
    "the critic's error drowns the policy's gradient, and values cannot reach their scale",
    "try VecNormalize(env, norm_obs=False), or divide the reward so that it is about 1",
)
def huge_rewards(record: Record) -> str | None:
    """The mean size of a reward, as the agent gets it."""
    if not record.learns_by_gradient:
        return None
    sizes = record.values("doctor/rewards")
    if not len(sizes):
        returns, lengths = record.episodes("return"), record.episodes("length")
        n = min(len(returns), len(lengths))
        sizes = np.abs(returns[:n]) / np.maximum(lengths[:n], 1)
    size = float(np.median(sizes)) if len(sizes) else 0.0
    return f"rewards are about {size:,.0f} a step" if size > HUGE_REWARD else None


# A tanh unit whose weights are about 0.2 is saturated by inputs of 20 (float32 has no slope left beyond 9). LeCun et
# al. 1998 ("Efficient BackProp", 4.3) ask for inputs of about 1. Healthy runs: up to 8 (the velocity of a pendulum).
HUGE_OBSERVATION = 100.0


@sign(
    "huge observations",
    "units are saturated, or one component outweighs all others",
    "try VecNormalize(env, norm_reward=False), or scale the observation to about 1 in a wrapper",
)
def huge_observations(record: Record) -> str | None:
    """The root mean square of the largest component."""
    scales = record.values("doctor/observations")
    scale = float(np.median(scales)) if len(scales) else 0.0
    return f"a component of the observation is about {scale:,.0f}" if scale > HUGE_OBSERVATION else None


ROUNDING = 1e-3  # float32 over rollouts of 2,048 steps leaves 1e-6; a wrong advantage differs by its own size


@sign(
    "wrong advantages",
    "an off-by-one error, or advantages that run on over the end of an episode",
    "compare with sb3_ext.common.generalized_advantage_estimation; V of a terminal state is 0",
)
def wrong_advantages(record: Record) -> str | None:
    """Whether the advantages of the rollouts are those of GAE."""
    errors = record.values("doctor/advantage_error")
    if not len(errors) or np.median(errors) < ROUNDING:
        return None
    return f"advantages differ from GAE's by up to {np.median(errors):.0%} of the mean size of rewards, values and them"


@sign(
    "never updates",
    "learning begins only after the end of the training, or train() is not called",
    "lower learning_starts, look at train_freq and n_steps",
)
def never_updates(record: Record) -> str | None:
    """Whether a training has ended without a single update."""
    if record.facts.get("n_updates") != 0:
        return None
    starts = record.facts.get("learning_starts")
    after = "" if starts is None else f"; learning_starts is {starts:,}"
    return f"no update was made in {record.last_step:,.0f} steps{after}"


@sign(
    "target stands still",
    "the target network is never updated, so values chase their first guess",
    "look for the missing polyak_update, or lower target_update_interval",
)
def target_stands_still(record: Record) -> str | None:
    """Whether the target network moves at all while the other does."""
    steps, moves = record.points("doctor/target_step")
    interval = float(record.facts.get("target_update_interval", 0))
    own = record.values("doctor/step")
    if len(moves) < 5 or np.any(moves > 0) or not np.any(own > 0):
        return None
    if interval >= record.n_timesteps:
        return f"target_update_interval is {interval:,.0f}, and the training takes {record.n_timesteps:,} steps"
    if steps[-1] - steps[0] < 2 * interval:
        return None
    return f"no weight of it has moved until step {steps[-1]:,.0f}"


# Healthy runs end with 1.0 to 3 times the norm they began with; at a learning rate of 1 it is 25 after one rollout.
WEIGHTS_GROW = 10.0
HUGE_LEARNING_RATE = 0.1  # Adam moves every weight by about this much a step; weights begin at 0.05 to 0.5


@sign(
    "steps too large",
    "each step throws away what the one before it learned",
    "try a learning rate of 3e-4 (PPO, SAC) or 1e-4 (DQN), and max_grad_norm=0.5",
)
def steps_too_large(record: Record) -> str | None:
    """How much the weights have grown, and the learning rate."""
    if not record.learns_by_gradient:
        return None
    norms = record.values("doctor/weights")
    if len(norms) and norms.max() > WEIGHTS_GROW:
        return f"the norm of the weights is {norms.max():.0f} times what it was at first"
    rates = record.values("train/learning_rate")
    if len(rates) and np.median(rates) > HUGE_LEARNING_RATE:
        return f"the learning rate is {np.median(rates):g}"
    return None


@sign(
    "nothing moves",
    "no gradient reaches the weights, or the learning rate is 0",
    "look for detach(), no_grad(), an optimiser of other parameters, a schedule that begins at 0",
)
def nothing_moves(record: Record) -> str | None:
    """Whether any weight moves."""
    moves = record.values("doctor/step")
    updates = record.values("doctor/updates")
    if len(moves) < 5 or np.any(moves > 0) or updates[-1] <= updates[0]:
        return None
    return f"after {updates[-1]:,.0f} updates every weight is where it began"


@sign(
    "part never moves",
    "these layers get no gradient: detached, frozen, or not in the optimiser",
    "check requires_grad, the optimiser's parameters, and that the loss depends on them",
)
def part_never_moves(record: Record) -> str | None:
    """Whether a layer of the actor, or of a critic that is trained, stays where it began."""
    if len(record.values("doctor/step")) < 5 or nothing_moves.look(record) is not None:
        return None
    has_critic = "train/value_loss" in record or "train/critic_loss" in record
    for part in ("actor", "critic") if has_critic else ("actor",):
        shares = record.values(f"doctor/unmoved_{part}")
        if len(shares) and shares[-1] > 0:
            names = record.facts.get(f"unmoved_{part}", [])
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            return f"{shares[-1]:.0%} of the {part}'s arrays of weights have never moved: {shown}"
    return None


DEAD = 0.95  # ReLU networks of healthy runs: up to 0.6 of the units are off for a whole minibatch


@sign(
    "no gradient",
    "units are dead or saturated, so nothing more is learned",
    "try smaller observations, a lower learning rate, other initial weights, tanh instead of ReLU",
)
def no_gradient(record: Record) -> str | None:
    """The share of units that get no gradient."""
    shares = record.values("doctor/dead_units")
    if len(shares) < 5 or np.median(shares) < DEAD:
        return None
    return f"{np.median(shares):.0%} of the units get a gradient of exactly 0"
