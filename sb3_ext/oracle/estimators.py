"""Every estimator of a policy gradient that the package has, against the exact gradient: bias and variance.

``ESTIMATORS`` names them, says what each is held against (``setting.py``) and whether it claims to be unbiased;
``measure`` finds out. How steps are weighed is in ``weights.py``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.common import clipped_surrogate_loss, importance_ratios, kl_k1, kl_k3
from sb3_ext.oracle import setting as targets
from sb3_ext.oracle.exact import solve_policy
from sb3_ext.oracle.plays import Plays, first_finished, play, score_gradients
from sb3_ext.oracle.setting import Setting
from sb3_ext.oracle.weights import (
    gae,
    group,
    group_by_length,
    kl_in_loss,
    kl_in_reward,
    naive_entropy,
    sampled_entropy,
    standardized,
    tensor,
    to_go,
    total_return,
)

Floats = npt.NDArray[np.float64]
Weigh = Callable[[Plays, Setting], Floats]
Target = Callable[[Setting], Floats]


class Estimator(NamedTuple):
    """A way to estimate a gradient.

    Attributes:
        family: Under which heading it stands.
        estimate: (setting, number of batches, generator) -> gradients of that many batches, [n_batches, S, A].
        target: (setting) -> what it is measured against, [S, A].
        unbiased: Whether its mean is claimed to be the target.
    """

    family: str
    estimate: Callable[[Setting, int, np.random.Generator], Floats]
    target: Target
    unbiased: bool


def _weighing(weigh: Weigh, matched: bool = False) -> Callable[[Setting, int, np.random.Generator], Floats]:
    """An estimator that weighs the steps of batches of whole episodes, the same number from each environment."""

    def estimate(setting: Setting, n_batches: int, generator: np.random.Generator) -> Floats:
        group_size = setting.group_size if matched else 1
        sizes = n_batches, setting.batch_size, setting.horizon
        plays = play(setting.mdp, setting.probabilities, *sizes, generator, group_size)
        return score_gradients(plays, weigh(plays, setting))

    return estimate


def _first_finished(setting: Setting, n_batches: int, generator: np.random.Generator) -> Floats:
    """Reward-to-go of the first episodes that finish, from as many environments as episodes."""
    n = setting.batch_size
    plays = first_finished(play(setting.mdp, setting.probabilities, n_batches, n * n, setting.horizon, generator), n)
    return score_gradients(plays, to_go(plays, setting))


def _entropy_in_closed_form(setting: Setting, n_batches: int, generator: np.random.Generator) -> Floats:
    """The gradient of the entropies of the states seen."""
    sizes = n_batches, setting.batch_size, setting.horizon
    plays = play(setting.mdp, setting.probabilities, *sizes, generator)
    n_states = len(setting.logits)
    counts = np.bincount((plays.batch * n_states + plays.states)[plays.mask], minlength=n_batches * n_states)
    return counts.reshape(n_batches, n_states, 1) / setting.batch_size * targets.entropy_gradient(setting)


def after_steps(n_steps: int, clip_range: float) -> Callable[[Setting, int, np.random.Generator], Floats]:
    """The gradient of PPO's surrogate after so many steps on the same batch, less the exact one at that policy.

    Every batch has led to a policy of its own, and so to an exact gradient of its own; what is returned are the errors
    plus the exact gradient at the first policy, so that its mean compares with that. Advantages: the exact A_t, without
    gamma^t, as in PPO, so the gradient is the practical one.
    """

    def estimate(setting: Setting, n_batches: int, generator: np.random.Generator) -> Floats:
        sizes = n_batches, setting.batch_size, setting.horizon
        plays = play(setting.mdp, setting.probabilities, *sizes, generator)
        advantages = solve_policy(setting.mdp, setting.probabilities, setting.gamma).advantages
        logits = np.repeat(setting.logits[None], n_batches, axis=0)
        for _ in range(n_steps):
            logits += setting.learning_rate * _surrogate_gradients(plays, logits, advantages, clip_range)
        exact_ones = np.stack([replace(setting, logits=moved).gradient(practical=True) for moved in logits])
        errors = _surrogate_gradients(plays, logits, advantages, clip_range) - exact_ones
        return errors + setting.gradient(practical=True)

    return estimate


def _surrogate_gradients(plays: Plays, logits: Floats, advantages: Floats, clip_range: float) -> Floats:
    """The gradient of each batch's clipped surrogate at preferences of its own, [n_batches, S, A]."""
    parameters = tensor(logits).requires_grad_()
    states, actions = plays.states[plays.mask], plays.actions[plays.mask]
    log_probs = parameters.log_softmax(dim=-1)[plays.batch[plays.mask], states, actions]
    ratios = importance_ratios(log_probs, tensor(plays.log_probs[plays.mask]))
    weights = th.full_like(log_probs, 1 / plays.batch_size)  # batches have parameters of their own: one sum will do
    clipped_surrogate_loss(ratios, tensor(advantages[states, actions]), clip_range, weights=weights).backward()
    assert parameters.grad is not None
    return -parameters.grad.numpy()


def _weighed_estimators() -> dict[str, Estimator]:
    """Those that are nothing but a way to weigh the steps of whole episodes."""
    table: dict[str, Estimator] = {}

    def add(
        family: str, name: str, weigh: Weigh, target: Target, unbiased: bool = False, matched: bool = False
    ) -> None:
        table[name] = Estimator(family, _weighing(weigh, matched), target, unbiased)

    add("returns", "total return", total_return, targets.of_return, unbiased=True)
    add("returns", "to go", to_go, targets.of_return, unbiased=True)
    add("returns", "to go, no gamma^t", partial(to_go, discounted=False), targets.of_return)
    for name, unbiased in (("leave-one-out", True), ("mean of all", False), ("exact V", True)):
        add("returns", f"to go - {name}", partial(to_go, baseline=name), targets.of_return, unbiased)
    add("returns", "to go, standardised", standardized, targets.of_return)
    for share, critic in ((1.0, "exact V"), (0.5, "V / 2")):
        for lambda_ in (0.0, 0.5, 0.9, 1.0):
            weigh = partial(gae, lambda_=lambda_, share=share)
            add("critics", f"GAE {lambda_:g}, {critic}", weigh, targets.practical, unbiased=share == 1)
    for matched in (True, False):
        start = "matched" if matched else "unmatched"
        own = partial(group, leave_one_out=False)
        add("groups", f"{start}, leave-one-out", group, targets.of_return, True, matched)
        add("groups", f"{start}, mean of all", own, targets.of_return, matched=matched)
        add("groups", f"{start}, / own std", partial(own, scale="group"), targets.of_return, matched=matched)
        add("groups", f"{start}, / own length", group_by_length, targets.of_return, matched=matched)
    k1, k3 = (partial(kl_in_loss, form=form) for form in (kl_k1, kl_k3))
    add("entropy and KL", "entropy, sampled", sampled_entropy, targets.of_entropy, unbiased=True)
    add("entropy and KL", "mean of -log pi", naive_entropy, targets.of_entropy)
    add("entropy and KL", "k1, for KL(pi|ref)", k1, targets.of_forward_kl)
    add("entropy and KL", "k3, for KL(pi|ref)", k3, targets.of_forward_kl)
    add("entropy and KL", "k3, for KL(ref|pi)", k3, targets.of_reverse_kl, unbiased=True)
    add("entropy and KL", "R - k1 as the reward", kl_in_reward, targets.of_penalised_return, unbiased=True)
    return table


ESTIMATORS: dict[str, Estimator] = {
    **_weighed_estimators(),
    "to go, first to finish": Estimator("returns", _first_finished, targets.of_return, False),
    "entropy, closed form": Estimator("entropy and KL", _entropy_in_closed_form, targets.of_entropy, True),
    **{f"clip 0.2, after {k} steps": Estimator("reused batches", after_steps(k, 0.2), targets.practical, k == 0)
       for k in (0, 1, 4, 10)},
    "no clip, after 10 steps": Estimator("reused batches", after_steps(10, math.inf), targets.practical, False),
}  # fmt: skip
"""Every estimator by its name."""


# ---- Measuring ------------------------------------------------------------------------------------------------------


LEAST_SEEN = 400
MOST_STEPS = 2**25  # that are played at a time, for memory


@dataclass(frozen=True, eq=False)
class Measured:
    """How an estimator did.

    Attributes:
        bias: |mean estimate - exact| / |exact|. Of an unbiased estimator it is about ``noise``.
        noise: What ``bias`` is on average where there is none: the standard error of the mean, likewise relative.
        sigmas: The largest deviation from the exact value, in standard errors, of a component or of the projection on
            the exact gradient. (Components that fewer than 400 batches tell of are left out: their standard errors
            would be guesses.)
        cosine: Of the angle between mean estimate and exact gradient.
        variance: Of one batch's estimate, summed over components, relative to |exact|^2.
    """

    bias: float
    noise: float
    sigmas: float
    cosine: float
    variance: float


def measure(estimator: Estimator, setting: Setting, n_batches: int, seed: int = 0) -> Measured:
    """Bias and variance of an estimator.

    Args:
        estimator: One of ``ESTIMATORS``.
        setting: Where.
        n_batches: Estimates to average, at least 2.
        seed: Of the random numbers.

    Raises:
        ValueError: If the exact gradient is 0.

    Example:
        >>> from sb3_ext.tabular import TabularMDP
        >>> bandit = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.0]], [[True, True]])
        >>> even = np.full((1, 2), 0.5)
        >>> setting = Setting(bandit, np.log(even), 0.9, 1, batch_size=4, group_size=2, reference=even)
        >>> found = measure(ESTIMATORS["to go"], setting, n_batches=1000)
        >>> found.sigmas < 5, round(found.variance, 1)
        (True, 0.2)
    """
    generator = np.random.default_rng(seed)
    at_once = max(MOST_STEPS // (setting.batch_size**2 * setting.horizon), 1)
    parts = [estimator.estimate(setting, min(at_once, n_batches - done), generator)
             for done in range(0, n_batches, at_once)]  # fmt: skip
    gradients = np.concatenate(parts).reshape(n_batches, -1)
    target, mean = estimator.target(setting).ravel(), gradients.mean(axis=0)
    spread, length = gradients.var(axis=0, ddof=1), float(np.linalg.norm(target))
    if length < 1e-12:
        raise ValueError("the exact gradient is 0 (no reward within the time limit?): there is nothing to compare with")
    along = np.column_stack([gradients, gradients @ target / length])
    seen = (np.abs(along) > 1e-12 * max(length, 1.0)).sum(axis=0) >= min(LEAST_SEEN, n_batches)
    errors = np.append(mean - target, (mean - target) @ target / length)
    standard_errors = np.sqrt(along.var(axis=0, ddof=1) / n_batches)
    matters = seen & (np.abs(errors) > 1e-9 * max(length, 1.0))  # more than rounding
    sigmas = np.divide(np.abs(errors), standard_errors, out=np.full_like(errors, np.inf), where=standard_errors > 0)
    product = length * np.linalg.norm(mean)
    return Measured(
        bias=float(np.linalg.norm(mean - target) / length),
        noise=float(np.sqrt(spread.sum() / n_batches) / length),
        sigmas=float(sigmas[matters].max(initial=0.0)),
        cosine=float(mean @ target / product) if product > 0 else 0.0,
        variance=float(spread.sum() / length**2),
    )
