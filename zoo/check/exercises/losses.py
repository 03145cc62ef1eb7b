"""``policy_gradient_loss``, ``clipped_surrogate`` and ``kl_penalty``: tensors through which a gradient flows."""

from typing import Any

import numpy as np
import torch as th

from sb3_ext import common
from sb3_ext.zoo.check.exercise import Case, Exercise, Function, Slips, generator
from sb3_ext.zoo.check.exercises import oracle

NO_GRADIENT = "cuts the gradient off: none reaches log_probs (detach(), item(), numpy(), no_grad() or a new tensor)"
ADVANTAGE_SLIPS = {
    "advantages-not-detached": "forgot to detach the advantages: they are data, and no gradient may flow through them",
    "normalised": "normalises the advantages (mean 0, standard deviation 1): that is another step, before this one",
    "normalised/n": "",
    "centred": "subtracts the mean of the advantages: that is another step, before this one",
    "sign": "has the wrong sign: an optimiser descends, so the loss is minus what should grow",
    "sum-not-mean": "sums where it should average",
    "not-averaged": "gives one loss for each step: the mean is missing",
    "no-gradient": NO_GRADIENT,
}


def _advantages(slips: Slips, advantages: th.Tensor) -> th.Tensor:
    advantages = advantages if "advantages-not-detached" in slips else advantages.detach()
    if slips & {"normalised", "normalised/n", "centred"}:
        spread = advantages.std(unbiased="normalised" in slips) + 1e-8
        advantages = (advantages - advantages.mean()) / (1.0 if "centred" in slips else spread)
    return advantages


def _reduced(slips: Slips, objective: th.Tensor) -> th.Tensor:
    loss = objective if "sign" in slips else -objective
    loss = loss if "not-averaged" in slips else loss.sum() if "sum-not-mean" in slips else loss.mean()
    return loss.detach() if "no-gradient" in slips else loss


# ---- policy_gradient_loss -------------------------------------------------------------------------------------------

POLICY_MISTAKES = {
    **ADVANTAGE_SLIPS,
    "detaches-the-wrong-one": "detaches log_probs, through which the gradient should flow, and not the advantages",
    "probabilities": "weighs the advantages with probabilities, exp(log_probs), where it should take log_probs",
    "log-twice": "takes the logarithm of log_probs, which are logarithms already",
    "no-advantages": "forgot the advantages",
    "advantages-added": "adds the advantages to log_probs where it should multiply",
    "product-of-means": "multiplies the means, where it should take the mean of the products",
    "absolute": "loses the sign of the advantages",
    "positive-only": "leaves out the steps with negative advantages",
    "squared": "squares the product",
}


def policy_with(slips: Slips, log_probs: th.Tensor, advantages: th.Tensor) -> th.Tensor:
    """Minus the mean of A log pi."""
    if "detaches-the-wrong-one" in slips:
        slips, log_probs = slips | {"advantages-not-detached"}, log_probs.detach()
    advantages = _advantages(slips, advantages)
    advantages = advantages.abs() if "absolute" in slips else advantages
    advantages = advantages.clamp(min=0) if "positive-only" in slips else advantages
    advantages = th.ones_like(advantages) if "no-advantages" in slips else advantages
    log_probs = log_probs.exp() if "probabilities" in slips else log_probs
    log_probs = log_probs.log() if "log-twice" in slips else log_probs
    objective = log_probs + advantages if "advantages-added" in slips else log_probs * advantages
    if "product-of-means" in slips:
        objective = log_probs.mean() * advantages.mean()
    return _reduced(slips, objective**2 if "squared" in slips else objective)


def _policy_cases() -> list[Case]:
    rng = generator("policy_gradient_loss")

    def case(name: str, log_probs: Any, advantages: Any, attached: bool = False, **known: Any) -> Case:
        given = {"log_probs": np.array(log_probs, np.float64), "advantages": np.array(advantages, np.float64)}
        return Case(name, given, tuple(given) if attached else ("log_probs",), known=known)

    def drawn(name: str, n: int, attached: bool) -> Case:
        log_probs = np.log(rng.uniform(0.05, 0.95, size=n)).round(2)
        return case(name, log_probs, rng.normal(0.5, 2.0, size=n).round(1), attached)

    return [
        case("two steps", [-1, -2], [3, 0.5], result=2),
        case("one step", [-0.5], [2], result=1),
        case("negative advantages", [-1, -2, -0.5], [-1, -2, 4], result=-1),
        case("equal advantages", [-1, -3], [2, 2], result=4),
        case("advantages of 0", [-1, -3], [0, 0], result=0),
        case("the advantages have a gradient", [-1, -2], [3, 0.5], True, result=2),
        *(drawn(f"random, {n} steps", n, False) for n in (3, 5, 16, 64)),
        *(drawn(f"random, {n} steps, the advantages have a gradient", n, True) for n in (4, 32)),
        oracle.gradient_case(lambda function, log_probs, advantages: function(log_probs, advantages)),
    ]


# ---- clipped_surrogate ----------------------------------------------------------------------------------------------

CLIPPED_MISTAKES = {
    **ADVANTAGE_SLIPS,
    "old-not-detached": "forgot to detach old_log_probs: they are data, and no gradient may flow through them",
    "nothing-detached": "forgot to detach: neither old_log_probs nor the advantages may have a gradient",
    "max-not-min": "takes the larger of the two terms where it should take the smaller: min of r A and clip(r) A",
    "no-clip": "does not clip at all: it is the plain r A",
    "clip-alone": "forgot the minimum: it takes clip(r) A alone",
    "clips-above-only": "clips the ratio above 1 + clip_range alone, not below 1 - clip_range",
    "clips-below-only": "clips the ratio below 1 - clip_range alone, not above 1 + clip_range",
    "clips-around-0": "clips the ratio to -clip_range and clip_range: it should stay near 1",
    "fixed-clip-range": "does not use clip_range: it clips at 0.2, whatever is given",
    "ratio-inverted": "has the ratio upside down: pi_old / pi, not pi / pi_old",
    "no-exp": "forgot exp: the difference of the log-probabilities is the logarithm of the ratio",
    "ratio-of-logs": "divides the log-probabilities: the ratio is exp(log_probs - old_log_probs)",
    "clips-log-ratio": "clips the logarithm of the ratio, to -clip_range and clip_range, not the ratio",
    "min-before-advantage": "takes the smaller ratio before it multiplies with the advantage: wrong for A < 0",
    "min-after-mean": "averages first and takes the smaller mean: the minimum is for each step by itself",
    "clips-product": "clips r A where it should clip r",
    "log-probs-not-ratio": "weighs the advantages with log_probs: the importance ratio is missing",
    "absolute": "loses the sign of the advantages",
}


def clipped_with(
    slips: Slips, log_probs: th.Tensor, old_log_probs: th.Tensor, advantages: th.Tensor, clip_range: float
) -> th.Tensor:
    """Minus the mean of min(r A, clip(r) A)."""
    slips = slips | {"old-not-detached", "advantages-not-detached"} if "nothing-detached" in slips else slips
    old = old_log_probs if "old-not-detached" in slips else old_log_probs.detach()
    advantages = _advantages(slips, advantages)
    advantages = advantages.abs() if "absolute" in slips else advantages
    clip_range = 0.2 if "fixed-clip-range" in slips else clip_range
    difference = old - log_probs if "ratio-inverted" in slips else log_probs - old
    ratios = difference if "no-exp" in slips else difference.exp()
    ratios = log_probs / old if "ratio-of-logs" in slips else ratios
    ratios = log_probs if "log-probs-not-ratio" in slips else ratios
    low, high = (0.0 if "clips-around-0" in slips else 1.0) - clip_range, 1.0 + clip_range
    high = clip_range if "clips-around-0" in slips else high
    clipped = ratios.clamp(None if "clips-above-only" in slips else low, None if "clips-below-only" in slips else high)
    if "clips-log-ratio" in slips:
        clipped = difference.clamp(-clip_range, clip_range).exp()
    plain, safe = ratios * advantages, clipped * advantages
    if "clips-product" in slips:
        safe = plain.clamp(low, high)
    if "min-before-advantage" in slips:
        return _reduced(slips, th.minimum(ratios, clipped) * advantages)
    if "min-after-mean" in slips:
        return _reduced(slips, th.minimum(plain.mean(), safe.mean()))
    if slips & {"no-clip", "clip-alone"}:
        return _reduced(slips, plain if "no-clip" in slips else safe)
    return _reduced(slips, (th.maximum if "max-not-min" in slips else th.minimum)(plain, safe))


def _clipped_cases() -> list[Case]:
    rng = generator("clipped_surrogate")

    def case(
        name: str, ratios: Any, weights: Any, clip_range: float = 0.2, attached: bool = False, **known: Any
    ) -> Case:
        old, advantages = -0.25 - 0.5 * np.arange(len(ratios)) % 2.0, np.array(weights, np.float64)
        given = {"log_probs": old + np.log(ratios), "old_log_probs": old, "advantages": advantages}
        tensors = tuple(given) if attached else ("log_probs",)
        return Case(name, {**given, "clip_range": clip_range}, tensors, known=known)

    def drawn(name: str, n: int, clip_range: float, attached: bool = False, spread: float = 0.4) -> Case:
        ratios = np.exp(rng.normal(0.0, spread, size=n))
        return case(name, ratios, rng.normal(0.3, 1.5, size=n).round(1), clip_range, attached)

    return [
        case("ratios of 1", [1, 1], [1, 3], result=-2),
        case("a ratio above the clip, a positive advantage", [1.5], [1], result=-1.2),
        case("a ratio above the clip, a negative advantage", [1.5], [-1], result=1.5),
        case("a ratio below the clip, a positive advantage", [0.5], [1], result=-0.5),
        case("a ratio below the clip, a negative advantage", [0.5], [-1], result=0.8),
        case("several steps", [1.5, 1.0, 0.5], [1, 2, -2], result=-1.6 / 3),
        case("a wider clip", [1.3, 1.8], [1, 1], 0.5, result=-1.4),
        case("a narrow clip", [1.15, 0.8], [2, -2], 0.1, result=-0.2),
        case("equal advantages", [0.5, 1.5, 1.1], [1, 1, 1], result=-2.8 / 3),
        case("extreme ratios", np.exp([6.0, -6.0, 6.0, -6.0]), [1, 1, -1, -1]),
        case("all attached to a graph", [1.5, 0.9, 0.5], [1, 2, -2], 0.2, True),
        drawn("random, 4 steps", 4, 0.1),
        drawn("random, 8 steps", 8, 0.2),
        drawn("random, 32 steps", 32, 0.3, spread=0.6),
        drawn("random, 6 steps, all attached to a graph", 6, 0.15, True),
        drawn("random, 32 steps, all attached to a graph", 32, 0.25, True),
        oracle.gradient_case(_at_the_old_policy),
    ]


def _at_the_old_policy(function: Function, log_probs: th.Tensor, advantages: th.Tensor) -> Any:
    return function(log_probs, log_probs.detach().clone(), advantages, 0.2)


# ---- kl_penalty -----------------------------------------------------------------------------------------------------

KL_MISTAKES = {
    "k1": "is k1, the plain log pi - log ref: of either sign, and not what is asked for",
    "k2": "is k2, half the squared difference of the logarithms",
    "absolute": "is the absolute difference of the logarithms",
    "reverse-direction": "has pi and ref swapped: pi/ref - log(pi/ref) - 1",
    "log-ratio-reversed": "is log ref - log pi alone: the ratio and the 1 are missing",
    "minus-one-missing": "forgot to subtract 1",
    "log-missing": "forgot to subtract the logarithm of the ratio: it is ref/pi - 1",
    "plus-log": "adds the logarithm of the ratio where it should subtract it",
    "no-exp": "forgot exp: the ratio is exp(ref_log_probs - log_probs)",
    "weighted": "weighs with the probabilities, exp(log_probs): the actions were drawn from pi already",
    "ratio-of-logs": "divides the log-probabilities: the ratio is exp(ref_log_probs - log_probs)",
    "sign": "has the wrong sign: a penalty is 0 or more",
    "mean": "averages over the steps: one number for each step is asked for",
    "sum": "sums over the steps: one number for each step is asked for",
    "reference-not-detached": "forgot to detach ref_log_probs: no gradient may flow through the reference",
    "no-gradient": NO_GRADIENT,
}


def kl_with(slips: Slips, log_probs: th.Tensor, ref_log_probs: th.Tensor) -> th.Tensor:
    """ref/pi - log(ref/pi) - 1."""
    ref = ref_log_probs if "reference-not-detached" in slips else ref_log_probs.detach()
    log_ratio = log_probs - ref if "reverse-direction" in slips else ref - log_probs
    ratio = ref / log_probs if "ratio-of-logs" in slips else log_ratio if "no-exp" in slips else log_ratio.exp()
    others = {
        "k1": -log_ratio, "k2": log_ratio**2 / 2, "absolute": log_ratio.abs(), "log-ratio-reversed": log_ratio,
        "minus-one-missing": ratio - log_ratio, "log-missing": ratio - 1, "plus-log": ratio + log_ratio - 1,
        "weighted": log_probs.exp() * -log_ratio,
    }  # fmt: skip
    penalty = next((value for slip, value in others.items() if slip in slips), ratio - log_ratio - 1)
    penalty = -penalty if "sign" in slips else penalty
    penalty = penalty.mean() if "mean" in slips else penalty.sum() if "sum" in slips else penalty
    return penalty.detach() if "no-gradient" in slips else penalty


def _kl_cases() -> list[Case]:
    rng = generator("kl_penalty")

    def case(name: str, log_probs: Any, ref_log_probs: Any, attached: bool = False, **known: Any) -> Case:
        given = {"log_probs": np.array(log_probs, np.float64), "ref_log_probs": np.array(ref_log_probs, np.float64)}
        return Case(name, given, tuple(given) if attached else ("log_probs",), known=known)

    def drawn(name: str, n: int, attached: bool = False) -> Case:
        log_probs, ref_log_probs = np.log(rng.uniform(0.05, 0.95, size=(2, n))).round(2)
        return case(name, log_probs, ref_log_probs, attached)

    return [
        case("equal policies", [-1, -2], [-1, -2], result=[0, 0]),
        case("ref is twice as likely, then half as likely", [-1, -1], [-1 + np.log(2), -1 - np.log(2)],
             result=[1 - np.log(2), np.log(2) - 0.5]),
        case("one step", [-2], [-1], result=[np.e - 2]),
        case("far apart", [-4, -0.1], [-0.1, -4]),
        case("the reference has a gradient", [-1, -2, -0.5], [-2, -0.5, -0.6], True),
        *(drawn(f"random, {n} steps", n) for n in (3, 8, 32)),
        drawn("random, 5 steps, the reference has a gradient", 5, True),
        oracle.kl_case(),
    ]  # fmt: skip


EXERCISES = (
    Exercise("policy_gradient_loss", common.a2c_policy_loss, policy_with, POLICY_MISTAKES, _policy_cases, True),
    Exercise("clipped_surrogate", common.ppo_policy_loss, clipped_with, CLIPPED_MISTAKES, _clipped_cases, True),
    Exercise("kl_penalty", common.kl_k3, kl_with, KL_MISTAKES, _kl_cases, True),
)
