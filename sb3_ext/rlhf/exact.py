"""How near a policy is to the optimum of RLHF, exactly: all responses are listed, so expectations are sums.

    pi*(y|x) = ref(y|x) exp(R(x, y) / beta) / Z(x)           J(pi*) - J(pi) = beta KL(pi || pi*)

``common/kl_optimum.py`` has the equations. DPO with exact preferences and PPO with a KL penalty look for the same pi*.
"""

from copy import copy
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.common import kl_divergence, kl_objective, optimal_log_probs
from sb3_ext.rlhf.policies import CausalLMPolicy
from sb3_ext.rlhf.texts import Preferences, Texts, response_log_probs_as_data

Floats = NDArray[np.float64]


class EnumerableWorld(Protocol):
    """What must be known of an environment: ``sb3_ext.envs.TokenWorld`` is one."""

    pad: int
    prompts: NDArray[np.int64]
    """tokens with padding after them, [n_prompts, context]; each is equally likely"""
    prompt_lengths: NDArray[np.int64]

    def responses(self) -> NDArray[np.int64]:
        """Every response, [n_responses, max_new_tokens]."""

    def scores(self, responses: NDArray[np.int64]) -> Floats:
        """The reward of each, [n_prompts, n_responses]."""


class ExactReport(NamedTuple):
    """Means over prompts, each an exact expectation over responses."""

    kl_to_optimum: float
    """KL(pi || pi*), nats"""
    kl_to_reference: float
    """KL(pi || ref), nats"""
    reward: float
    """E[R]"""
    objective: float
    """J = E[R] - beta KL(pi || ref)"""
    best_objective: float
    """J of pi*"""


class ExactOptimum:
    """The optimum of a world, a reference and a beta.

    Args:
        world: whose responses can be listed, say a ``TokenWorld``.
        reference: the policy that is held on to.
        beta: weight of the KL penalty, above 0.
        rewards: R(x, y), [n_prompts, n_responses]. Default: the world's own.

    Attributes:
        texts: every prompt with every response, n_prompts * n_responses of them.
        ref_log_probs: log ref(y|x), [n_prompts, n_responses].
        rewards: likewise.
        log_probs: log pi*(y|x), likewise.

    Raises:
        ValueError: if beta is not above 0, a reward is not finite, or there are too many responses.
    """

    def __init__(
        self, world: EnumerableWorld, reference: CausalLMPolicy, beta: float, rewards: Floats | None = None
    ) -> None:
        responses = world.responses()
        self.beta = beta
        self.shape = (len(world.prompts), len(responses))
        self.texts = every_text(world, responses)
        self.rewards = world.scores(responses) if rewards is None else np.asarray(rewards, dtype=np.float64)
        self.ref_log_probs = self.log_probs_of(reference)
        self.log_probs = optimal_log_probs(self.ref_log_probs, self.rewards, beta)

    def with_rewards(self, rewards: Floats) -> "ExactOptimum":
        """The optimum of other rewards, [n_prompts, n_responses], with the same reference and beta."""
        other = copy(self)
        other.rewards = np.asarray(rewards, dtype=np.float64)
        other.log_probs = optimal_log_probs(self.ref_log_probs, other.rewards, self.beta)
        return other

    def log_probs_of(self, policy: CausalLMPolicy) -> Floats:
        """Log pi(y|x) of every response to every prompt, [n_prompts, n_responses]."""
        return response_log_probs_as_data(policy, self.texts).reshape(self.shape)

    def report(self, policy: CausalLMPolicy) -> ExactReport:
        """How near a policy is."""
        return self.report_of(self.log_probs_of(policy))

    def report_of(self, log_probs: Floats) -> ExactReport:
        """The same of log pi(y|x), [n_prompts, n_responses]."""
        numbers = (
            kl_divergence(log_probs, self.log_probs),
            kl_divergence(log_probs, self.ref_log_probs),
            (np.exp(log_probs) * self.rewards).sum(axis=-1),
            kl_objective(log_probs, self.ref_log_probs, self.rewards, self.beta),
            kl_objective(self.log_probs, self.ref_log_probs, self.rewards, self.beta),
        )
        return ExactReport(*(float(each.mean()) for each in numbers))

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Every pair of two responses to one prompt, as rows of ``texts``: two arrays [n_pairs]."""
        n_prompts, n_responses = self.shape
        first, second = np.triu_indices(n_responses, k=1)
        offsets = n_responses * np.arange(n_prompts)[:, None]
        return (offsets + first).ravel(), (offsets + second).ravel()

    def preferences(self, n: int | None = None, seed: int | None = None) -> Preferences:
        """Pairs with the exact probability ``sigmoid(R - R')`` that the first is preferred.

        Args:
            n: how many pairs, drawn as two responses of the reference to a prompt. Default: every pair once.
            seed: of what is drawn.

        Raises:
            ValueError: if n is below 1.
        """
        if n is not None and n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        first, second = self.pairs if n is None else self._drawn_pairs(n, np.random.default_rng(seed))
        margins = self.rewards.ravel()[first] - self.rewards.ravel()[second]
        return Preferences(self.texts.take(first), self.texts.take(second), 1 / (1 + np.exp(-margins)))

    def _drawn_pairs(self, n: int, generator: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        first, second = self.pairs
        chances = np.exp(self.ref_log_probs.ravel()[first] + self.ref_log_probs.ravel()[second])
        drawn = generator.choice(len(first), size=n, p=chances / chances.sum())
        return first[drawn], second[drawn]


def every_text(world: EnumerableWorld, responses: NDArray[np.int64]) -> Texts:
    """Every prompt with every response, prompt by prompt, [n_prompts * n_responses]."""
    n_responses = len(responses)
    tokens, lengths = np.repeat(world.prompts, n_responses, axis=0), np.repeat(world.prompt_lengths, n_responses)
    columns = lengths[:, None] + np.arange(responses.shape[1])
    tokens[np.arange(len(tokens))[:, None], columns] = np.tile(responses, (len(world.prompts), 1))
    return Texts(tokens, lengths)


class OptimumCallback(BaseCallback):
    """Logs the exact report during training: ``optimum/kl_to_optimum`` and so on; ``history`` keeps them.

    Args:
        optimum: what to compare with.
        every: timesteps between two reports; the first is made at the start.
    """

    def __init__(self, optimum: ExactOptimum, every: int) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.optimum, self.every = optimum, every
        self.history: list[tuple[int, ExactReport]] = []

    def _on_training_start(self) -> None:
        self._report()

    def _on_step(self) -> bool:
        if self.num_timesteps - self.history[-1][0] >= self.every:
            self._report()
        return True

    def _on_training_end(self) -> None:
        self._report()

    def _report(self) -> None:
        report = self.optimum.report(self.model.policy)  # type: ignore[arg-type]
        self.history.append((self.num_timesteps, report))
        for name, value in report._asdict().items():
            self.logger.record(f"optimum/{name}", value)
