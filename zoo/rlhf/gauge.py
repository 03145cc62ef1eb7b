"""What a policy is worth: true reward, learned score, distance from the reference; exactly, if texts can be listed."""

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.common import kl_divergence
from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import CausalLMPolicy, ExactOptimum, Texts, generate
from sb3_ext.rlhf.texts import Score, checked_scores, response_log_probs_as_data

MAX_TEXTS = 20_000  # that are listed
N_TEXTS = 512  # that are drawn where there are more
Floats = NDArray[np.float64]


class Snapshot(NamedTuple):
    """Means over prompts and responses of one policy."""

    n_tokens: int
    """learned from so far"""
    reward: float
    """true"""
    success: float
    """share of right answers"""
    score: float
    """what was optimised, in log-odds"""
    kl: float
    """KL(pi || reference), nats"""
    kl_to_optimum: float
    """KL(pi || pi*), pi* the optimum of the score; not a number where texts cannot be listed"""
    kl_to_true_optimum: float
    """likewise, the optimum of the judge's own score"""


class Gauge:
    """Measures policies against a reference.

    Args:
        world: the task.
        reference: the policy of SFT.
        score: what is optimised.
        judge: the score behind the preferences.
        beta: weight of the KL penalty.
        seed: of the texts that are drawn where they cannot be listed.
    """

    def __init__(
        self, world: TokenWorld, reference: CausalLMPolicy, score: Score, judge: Score, beta: float, seed: int = 0
    ) -> None:
        self.world, self.reference, self.score, self.judge, self.seed = world, reference, score, judge, seed
        self.prompts = world.prompts[np.random.default_rng(seed).integers(len(world.prompts), size=N_TEXTS)]
        self.exact = is_enumerable(world)
        if self.exact:
            plain = ExactOptimum(world, reference, beta)
            self.success = world.successes(plain.texts.tokens, plain.texts.prompt_lengths).reshape(plain.shape)
            self.rewards = plain.rewards
            self.optimum, self.true_optimum = (_optimum_of(each, plain) for each in (score, judge))

    def with_score(self, score: Score) -> "Gauge":
        """The same, but another score is optimised."""
        other = copy(self)
        other.score = score
        if self.exact:
            other.optimum = _optimum_of(score, self.optimum)
        return other

    def measure(self, policy: CausalLMPolicy, n_tokens: int = 0) -> Snapshot:
        """What this policy is worth."""
        if self.exact:
            return self.measure_exactly(self.optimum.log_probs_of(policy), n_tokens)
        texts = generate(policy, self.prompts, self.world.max_new_tokens, seed=self.seed)
        log_ratios = response_log_probs_as_data(policy, texts) - response_log_probs_as_data(self.reference, texts)
        reward, success, score, kl = (
            float(each.mean())
            for each in (
                self.world.score_texts(texts.tokens, texts.prompt_lengths),
                self.world.successes(texts.tokens, texts.prompt_lengths),
                checked_scores(self.score, texts),
                log_ratios,
            )
        )
        return Snapshot(n_tokens, reward, success, score, kl, np.nan, np.nan)

    def measure_exactly(self, log_probs: Floats, n_tokens: int = 0) -> Snapshot:
        """The same of log pi(y|x), [n_prompts, n_responses]."""
        p = np.exp(log_probs)
        numbers = (
            *((p * each).sum(axis=-1) for each in (self.rewards, self.success, self.optimum.rewards)),
            kl_divergence(log_probs, self.optimum.ref_log_probs),
            kl_divergence(log_probs, self.optimum.log_probs),
            kl_divergence(log_probs, self.true_optimum.log_probs),
        )
        return Snapshot(n_tokens, *(float(each.mean()) for each in numbers))


def _optimum_of(score: Score, like: ExactOptimum) -> ExactOptimum:
    return like.with_rewards(checked_scores(score, like.texts).reshape(like.shape))


def is_enumerable(world: TokenWorld) -> bool:
    """Whether all prompts with all responses are few enough to be listed."""
    n_characters, longest = world.n_tokens - 1, world.max_new_tokens
    return len(world.prompts) * n_characters**longest <= MAX_TEXTS


class SnapshotCallback(BaseCallback):
    """Measures the policy now and then while it learns.

    Args:
        gauge: how.
        every: tokens between two measurements.
    """

    def __init__(self, gauge: Gauge, every: int) -> None:
        super().__init__()
        self.gauge, self.every = gauge, every
        self.history: list[Snapshot] = []

    def _on_training_start(self) -> None:
        self._measure()

    def _on_step(self) -> bool:
        if self.num_timesteps - self.history[-1].n_tokens >= self.every:
            self._measure()
        return True

    def _on_training_end(self) -> None:
        if self.history[-1].n_tokens < self.num_timesteps:
            self._measure()

    def _measure(self) -> None:
        self.history.append(self.gauge.measure(self.model.policy, self.num_timesteps))  # type: ignore[arg-type]


def samples(world: TokenWorld, policy: CausalLMPolicy, n: int, seed: int) -> list[tuple[str, str, bool]]:
    """Some responses as text: prompt, response, whether it is right."""
    drawn = np.random.default_rng(seed).integers(len(world.prompts), size=n)
    texts = generate(policy, world.prompts[drawn], world.max_new_tokens, seed=seed)
    return [
        (prompt, response, bool(world.task.is_right(prompt, response))) for prompt, response in as_text(world, texts)
    ]


def as_text(world: TokenWorld, texts: Texts) -> list[tuple[str, str]]:
    """Prompts and responses as text."""
    rows = zip(texts.tokens.tolist(), texts.prompt_lengths.tolist(), strict=True)
    return [(world.task.decode(row[:length]), world.task.decode(row[length:])) for row, length in rows]
