"""Over-optimisation: what happens to the true reward while a learned one rises (Gao et al. 2023).

A reward model is right where it was shown examples. The further a policy goes from the reference, the more of its texts
were never shown: the learned score goes on rising, the true reward turns. Where all responses can be listed that needs
no training: for each beta the optimum ``ref exp(score / beta) / Z`` is known, and with it both rewards and sqrt KL.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sb3_ext.common import optimal_log_probs
from sb3_ext.rlhf import RewardModel, Texts
from sb3_ext.rlhf.reward_model import combine_scores
from sb3_ext.rlhf.texts import Score
from sb3_ext.zoo.rlhf.gauge import Gauge, Snapshot

BETAS = tuple(float(beta) for beta in np.geomspace(30, 0.02, 33))
COMBINED = {
    "one reward model": "mean",
    "ensemble, mean": "mean",
    "ensemble, min": "min",
    "ensemble, cautious": "cautious",
}
N_MODELS = 4
FAR = 1.5  # sqrt KL at which curves are compared


@dataclass(frozen=True)
class Curve:
    """One way from the reference outwards.

    Attributes:
        name: which reward model, and which way.
        points: snapshots along it, from near to far.
    """

    name: str
    points: list[Snapshot]

    @property
    def peak(self) -> Snapshot:
        """Where the true reward is highest."""
        return max(self.points, key=lambda point: point.reward)

    def reward_at(self, root_kl: float) -> float:
        """The true reward at a distance from the reference, between the points; not a number beyond the last."""
        distances = [max(point.kl, 0.0) ** 0.5 for point in self.points]
        return float(np.interp(root_kl, distances, [point.reward for point in self.points], right=np.nan))


def exact_curve(name: str, gauge: Gauge) -> Curve:
    """The optima of a gauge's score for one beta after the other."""
    optimum = gauge.optimum
    policies = (optimal_log_probs(optimum.ref_log_probs, optimum.rewards, beta) for beta in BETAS)
    return Curve(name, [gauge.measure_exactly(log_probs) for log_probs in policies])


def combined(one: RewardModel, ensemble: RewardModel) -> dict[str, Score]:
    """The score of one model, and that of an ensemble in each way to combine it."""
    models = {name: one if name.startswith("one") else ensemble for name in COMBINED}
    return {name: partial(_score, models[name], combine) for name, combine in COMBINED.items()}


def _score(model: RewardModel, combine: str, texts: Texts) -> np.ndarray:
    return combine_scores(model.member_scores(texts), combine)


def exact_curves(gauge: Gauge, scores: dict[str, Score]) -> list[Curve]:
    """The exact curve of each score, by name."""
    return [exact_curve(name, gauge.with_score(score)) for name, score in scores.items()]
