"""A reward model: a score for each text, learned from which of two a judge prefers.

    P(y preferred to y' | x) = sigmoid(r(x, y) - r(x, y'))       Bradley & Terry 1952; Ouyang et al. 2022, eq. 1

It is right where it was shown examples, and a policy that optimises it goes elsewhere: several models, which differ in
weights and data, agree where they know something and differ where they do not (Coste et al. 2024, "Reward model
ensembles help mitigate overoptimization"). Read next: ``kl_env.py``, which rewards a policy with it.
"""

import pathlib
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from sb3_ext.common import bradley_terry_loss, calibration
from sb3_ext.common.calibration import Calibration
from sb3_ext.rlhf.policies import TextFeatures, text_shape
from sb3_ext.rlhf.texts import CHUNK, Preferences, Texts

COMBINATIONS = ("mean", "min", "cautious")
Floats = NDArray[np.float64]


def combine_scores(scores: Floats, combine: str) -> Floats:
    """One score a text from those of an ensemble (Coste et al. 2024).

    Args:
        scores: [n_models, n]
        combine: "mean", "min", or "cautious": mean - standard deviation.

    Returns:
        [n]

    Raises:
        ValueError: for another way to combine.

    Example:
        >>> combine_scores(np.array([[0.0], [2.0]]), "cautious")
        array([0.])
    """
    if combine not in COMBINATIONS:
        raise ValueError(f"combine must be one of {COMBINATIONS}, got {combine!r}")
    if combine == "min":
        return scores.min(axis=0)
    return scores.mean(axis=0) - (scores.std(axis=0) if combine == "cautious" else 0.0)


class RewardModel(nn.Module):
    """Scores texts; calling it gives the score that a policy is rewarded with.

    Scores are log-odds: of preferences, with 0 on average over the texts that it learned from; or of good texts, see
    :meth:`learn_labels`.

    Args:
        observation_space: of the token world, ``MultiDiscrete([n_tokens + 1] * context)``.
        n_models: members of the ensemble; each has its own first weights and learns from its own bootstrap sample.
        combine: the score of an ensemble, see :func:`combine_scores`.
        net: "transformer" or "gru".
        d_model: width of each member.
        n_layers: depth.
        n_heads: of attention.
        seed: of first weights, samples and batches.

    Raises:
        ValueError: for a number below 1, an unknown choice, or another space.

    Example:
        >>> model = RewardModel(spaces.MultiDiscrete([4] * 5), n_models=3, d_model=8, n_heads=2, seed=0)
        >>> texts = Texts.join([[1], [2]], [[2, 0], [1, 0]], context=5, pad=3)
        >>> model.member_scores(texts).shape, model(texts).shape
        ((3, 2), (2,))
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        n_models: int = 1,
        combine: Literal["mean", "min", "cautious"] = "mean",
        net: Literal["transformer", "gru"] = "transformer",
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 4,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(n_models, int | np.integer) or n_models < 1:
            raise ValueError(f"n_models must be a whole number, at least 1, got {n_models}")
        combine_scores(np.zeros((1, 1)), combine)  # which checks it
        shape: dict[str, Any] = {"net": net, "d_model": d_model, "n_layers": n_layers, "n_heads": n_heads}
        self.arguments = {"n_models": n_models, "combine": combine, "seed": seed, **shape}
        self.n_tokens, self.context = text_shape(observation_space)
        self.combine = combine
        self.seed = seed
        with th.random.fork_rng(devices=[]):
            th.manual_seed(int(np.random.default_rng(seed).integers(2**31)) if seed is None else seed)
            self.members = nn.ModuleList(
                nn.Sequential(TextFeatures(observation_space, **shape, use_cache=False), nn.Linear(d_model, 1))
                for _ in range(n_models)
            )
        self.offsets: th.Tensor
        self.register_buffer("offsets", th.zeros(n_models))

    # ---- Score --------------------------------------------------------------------------------------------------

    def forward(self, texts: Texts) -> Floats:
        """The score of each text, [n].

        Raises:
            ValueError: for texts of another context or with tokens outside the vocabulary.
        """
        return combine_scores(self.member_scores(texts), self.combine)

    def member_scores(self, texts: Texts) -> Floats:
        """The score that each member gives, [n_models, n]; their spread is what they do not know."""
        self._check("texts", texts)
        self.eval()
        with th.no_grad():
            parts = [
                th.stack([self._scores(member, texts.take(slice(start, start + CHUNK))) for member in self.members])
                for start in range(0, len(texts), CHUNK)
            ]
        return (th.cat(parts, dim=1) - self.offsets[:, None]).double().cpu().numpy()

    def _scores(self, member: nn.Module, texts: Texts) -> th.Tensor:
        return member(th.as_tensor(texts.tokens, device=self.offsets.device))[:, 0]

    def _check(self, what: str, texts: Texts) -> None:
        if not len(texts):
            raise ValueError(f"there are no {what}")
        if texts.tokens.shape[1] != self.context:
            raise ValueError(
                f"{what} of {texts.tokens.shape[1]} tokens do not fit the model's context of {self.context}"
            )

    # ---- Learn --------------------------------------------------------------------------------------------------

    def learn(
        self,
        preferences: Preferences,
        n_epochs: int = 10,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        weight_decay: float = 0.01,
        progress_bar: bool = False,
    ) -> "RewardModel":
        """Fits each member to preferences by Bradley-Terry's loss.

        Args:
            preferences: the pairs.
            n_epochs: passes through as many pairs as there are.
            learning_rate: of AdamW.
            batch_size: pairs a gradient step.
            weight_decay: of AdamW.
            progress_bar: show one.

        Raises:
            ValueError: for pairs of another context or with tokens outside the vocabulary, or numbers out of range.
        """
        n = len(preferences)
        both = preferences.chosen.followed_by(preferences.rejected)
        probability = np.ones(n) if preferences.probability is None else preferences.probability

        def loss(member: nn.Module, rows: NDArray[np.integer]) -> th.Tensor:
            chosen, rejected = self._scores(member, both.take(np.concatenate([rows, n + rows]))).chunk(2)
            wanted = th.as_tensor(probability[rows], dtype=th.float32, device=chosen.device)
            return bradley_terry_loss(chosen, rejected, wanted)

        self._fit(loss, both, n, n_epochs, learning_rate, batch_size, weight_decay, progress_bar)
        self.offsets.copy_(th.as_tensor(self.member_scores(both).mean(axis=1)))
        return self

    def learn_labels(
        self,
        texts: Texts,
        labels: NDArray[np.floating] | NDArray[np.bool_],
        n_epochs: int = 10,
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        weight_decay: float = 0.01,
        progress_bar: bool = False,
    ) -> "RewardModel":
        """Fits each member to labels instead: a classifier, whose score is the log-odds of a good text.

        Args:
            texts: what was judged.
            labels: 1 for a good text, 0 for a bad one, or in between, [n].
            n_epochs: as for :meth:`learn`, like the rest.
            learning_rate: likewise.
            batch_size: likewise.
            weight_decay: likewise.
            progress_bar: likewise.

        Raises:
            ValueError: for labels outside [0, 1] or all alike, or as :meth:`learn`.
        """
        wanted = np.asarray(labels, dtype=np.float32)
        if wanted.shape != (len(texts),) or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"labels must be {len(texts)} numbers in [0, 1], got {labels}")
        if len(wanted) and (wanted == wanted[0]).all():
            raise ValueError(f"labels are one-sided: all {len(wanted)} are {wanted[0]:g}")

        def loss(member: nn.Module, rows: NDArray[np.integer]) -> th.Tensor:
            scores = self._scores(member, texts.take(rows))
            return F.binary_cross_entropy_with_logits(scores, th.as_tensor(wanted[rows], device=scores.device))

        self._fit(loss, texts, len(texts), n_epochs, learning_rate, batch_size, weight_decay, progress_bar)
        return self

    def _fit(
        self, loss, texts: Texts, n: int, n_epochs: int, learning_rate: float, batch_size: int, weight_decay: float,
        progress_bar: bool,
    ) -> None:  # fmt: skip
        """Gradient steps for each member by itself."""
        for name, number in (("n_epochs", n_epochs), ("batch_size", batch_size)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self._check("texts to learn from", texts)
        generator = np.random.default_rng(self.seed)
        optimizer = th.optim.AdamW(self.parameters(), lr=learning_rate, weight_decay=weight_decay)
        samples = [
            np.arange(n) if len(self.members) == 1 else generator.integers(n, size=n) for _ in range(len(self.members))
        ]
        self.train()
        for _ in tqdm(range(n_epochs), unit="epoch", leave=False, disable=not progress_bar):
            orders = [generator.permutation(sample) for sample in samples]
            for start in range(0, n, batch_size):
                pairs = zip(self.members, orders, strict=True)
                total = th.stack([loss(member, order[start : start + batch_size]) for member, order in pairs]).sum()
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
        self.offsets.zero_()
        if not np.isfinite(self.member_scores(texts)).all():
            raise ValueError(f"scores are NaN or infinite after training: learning_rate={learning_rate:g} is too large")

    # ---- Judge the judge ----------------------------------------------------------------------------------------

    def probabilities(self, preferences: Preferences) -> Floats:
        """How probably the chosen one is preferred, in this model's opinion, [n]."""
        return 1 / (1 + np.exp(-(self(preferences.chosen) - self(preferences.rejected))))

    def accuracy(self, preferences: Preferences) -> float:
        """The share of pairs whose chosen text has the higher score; a tie counts half. With exact probabilities:
        how probably a judge agrees.
        """
        predicted = self.probabilities(preferences)
        agrees = (predicted > 0.5) + 0.5 * (predicted == 0.5)
        truth = np.ones(len(preferences)) if preferences.probability is None else preferences.probability
        return float((truth * agrees + (1 - truth) * (1 - agrees)).mean())

    def calibration(self, preferences: Preferences, n_bins: int = 10) -> Calibration:
        """Whether what is predicted with probability p happens in a share p of cases.

        Each pair counts twice, once in each order: which one was named first says nothing.
        """
        predicted = self.probabilities(preferences)
        truth = np.ones(len(preferences)) if preferences.probability is None else preferences.probability
        return calibration(np.concatenate([predicted, 1 - predicted]), np.concatenate([truth, 1 - truth]), n_bins)

    # ---- Save ---------------------------------------------------------------------------------------------------

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the model to a file."""
        shape = {"n_tokens": self.n_tokens, "context": self.context}
        th.save({"arguments": self.arguments, "shape": shape, "weights": self.state_dict()}, path)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "RewardModel":
        """Reads a model that was saved; nothing in the file is executed."""
        saved = th.load(path, weights_only=True)
        space = spaces.MultiDiscrete([saved["shape"]["n_tokens"] + 1] * saved["shape"]["context"])
        model = cls(space, **saved["arguments"])
        model.load_state_dict(saved["weights"])
        return model
