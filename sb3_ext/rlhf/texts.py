"""Texts as data: prompts with responses, preferences between two of them, and writing more of them.

A text is a row of tokens, prompt first, response behind it, then padding: what a token world shows at the end of an
episode. Read next: ``sft.py`` and ``dpo.py``, which learn from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_ext.rlhf.policies import CausalLMPolicy, text_lengths

END = 0  # the token that ends a text
CHUNK = 4096  # texts that go through a network at a time, without gradient


@dataclass(frozen=True)
class Texts:
    """Prompts with their responses.

    Attributes:
        tokens: [n, context], padding after the end; the padding is one more than the largest token.
        prompt_lengths: how many of the tokens are the prompt, [n].

    Raises:
        ValueError: if the shapes do not fit.
    """

    tokens: NDArray[np.int64]
    prompt_lengths: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or self.prompt_lengths.shape != self.tokens.shape[:1]:
            shapes = f"{self.tokens.shape} and {self.prompt_lengths.shape}"
            raise ValueError(f"texts need tokens [n, context] and prompt_lengths [n], got the shapes {shapes}")
        if self.tokens.dtype.kind not in "iu":
            raise ValueError(f"tokens must be whole numbers, got {self.tokens.dtype}")

    @classmethod
    def join(
        cls, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], context: int, pad: int
    ) -> "Texts":
        """Texts from lists of tokens.

        Raises:
            ValueError: if there is not one response for each prompt, or a text is longer than the context.

        Example:
            >>> Texts.join([[1, 2]], [[1, 0]], context=5, pad=4).tokens
            array([[1, 2, 1, 0, 4]])
        """
        if len(prompts) != len(responses):
            raise ValueError(f"got {len(prompts)} prompts and {len(responses)} responses")
        tokens = np.full((len(prompts), context), pad)
        for row, prompt, response in zip(tokens, prompts, responses, strict=True):
            text = [*prompt, *response]
            if len(text) > context:
                raise ValueError(
                    f"a prompt of {len(prompt)} tokens and a response of {len(response)} are longer than the context "
                    f"of {context}"
                )
            row[: len(text)] = text
        return cls(tokens, np.array([len(prompt) for prompt in prompts], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Texts":
        """Some of them."""
        return Texts(self.tokens[rows], self.prompt_lengths[rows])

    def followed_by(self, others: "Texts") -> "Texts":
        """Both, one after the other."""
        lengths = np.concatenate([self.prompt_lengths, others.prompt_lengths])
        return Texts(np.concatenate([self.tokens, others.tokens]), lengths)

    def response_mask(self, pad: int) -> NDArray[np.bool_]:
        """Where a token of the response is predicted: [n, context - 1], as ``CausalLMPolicy.log_probs`` counts."""
        places = np.arange(1, self.tokens.shape[1])
        return (places >= self.prompt_lengths[:, None]) & (self.tokens[:, 1:] != pad)

    def check(self, what: str, policy: CausalLMPolicy) -> None:
        """Refuses texts that a policy cannot learn from.

        Args:
            what: their name in the message.
            policy: the policy.

        Raises:
            ValueError: if there are none, they have another context, tokens outside the vocabulary, or no response.
        """
        context, pad = len(policy.observation_space.nvec), policy.pad  # type: ignore[attr-defined]
        if not len(self):
            raise ValueError(f"there are no {what}")
        if self.tokens.shape[1] != context:
            reason = "longer" if self.tokens.shape[1] > context else "shorter"
            raise ValueError(
                f"{what} of {self.tokens.shape[1]} tokens are {reason} than the policy's context of {context}"
            )
        try:
            lengths = text_lengths(th.as_tensor(self.tokens), pad).numpy()
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        wrong = np.flatnonzero((self.prompt_lengths < 1) | (self.prompt_lengths >= lengths))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{what}: text {row} has {lengths[row]} tokens, {self.prompt_lengths[row]} of them its prompt; prompt "
                "and response need a token each"
            )


Score = Callable[[Texts], NDArray[np.floating]]
"""What each text is worth, [n]."""


@dataclass(frozen=True)
class Preferences:
    """Pairs of responses to the same prompts.

    Attributes:
        chosen: the better ones.
        rejected: the others.
        probability: how probably the chosen one is better, [n] in [0, 1]. Default: 1.

    Raises:
        ValueError: if there are no pairs, one side is missing, prompts differ, or two responses are the same.
    """

    chosen: Texts
    rejected: Texts
    probability: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        n, m = len(self.chosen), len(self.rejected)
        if not n and not m:
            raise ValueError("there are no preferences")
        if n != m:
            raise ValueError(f"preferences need two responses each, got {n} chosen and {m} rejected ones")
        if self.chosen.tokens.shape != self.rejected.tokens.shape:
            raise ValueError("chosen and rejected texts must have the same context")
        places = np.arange(self.chosen.tokens.shape[1])
        in_prompt = places < np.maximum(self.chosen.prompt_lengths, self.rejected.prompt_lengths)[:, None]
        differs = self.chosen.tokens != self.rejected.tokens
        other = (differs & in_prompt).any(axis=1) | (self.chosen.prompt_lengths != self.rejected.prompt_lengths)
        if other.any():
            raise ValueError(f"pair {np.flatnonzero(other)[0]} has two prompts; a preference is between two responses")
        equal = ~differs.any(axis=1)
        if equal.any():
            raise ValueError(f"pair {np.flatnonzero(equal)[0]} has the same response twice, which prefers nothing")
        if self.probability is not None:
            inside = (self.probability >= 0) & (self.probability <= 1)
            if self.probability.shape != (n,) or not inside.all():
                raise ValueError(f"probability must be [{n}] numbers in [0, 1], got {self.probability}")

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: NDArray[np.integer] | slice) -> "Preferences":
        """Some of them."""
        probability = None if self.probability is None else self.probability[rows]
        return Preferences(self.chosen.take(rows), self.rejected.take(rows), probability)


def response_log_probs(policy: CausalLMPolicy, texts: Texts) -> th.Tensor:
    """Log pi(y|x) of whole responses, [n]; with gradient, unless it is switched off."""
    mask = th.as_tensor(texts.response_mask(policy.pad), device=policy.device)
    return (policy.log_probs(th.as_tensor(texts.tokens, device=policy.device)) * mask).sum(dim=1)


def response_log_probs_as_data(policy: CausalLMPolicy, texts: Texts) -> NDArray[np.float64]:
    """The same without gradient, in parts that fit into memory."""
    with th.no_grad():
        parts = [response_log_probs(policy, texts.take(slice(start, start + CHUNK)))
                 for start in range(0, len(texts), CHUNK)]  # fmt: skip
    return th.cat(parts).double().cpu().numpy()


def generate(
    policy: ActorCriticPolicy,
    prompts: NDArray[np.int64],
    max_new_tokens: int,
    seed: int | None = None,
    deterministic: bool = False,
) -> Texts:
    """Lets a policy write responses.

    Args:
        policy: the policy.
        prompts: tokens with padding after them, [n, context].
        max_new_tokens: longest response, with the token that ends it.
        seed: of the tokens drawn. Default: a random one.
        deterministic: write the most probable token, instead of drawing it.

    Returns:
        The texts.

    Raises:
        ValueError: if there are no prompts, or they are too long for the context.

    Example:
        >>> from gymnasium import spaces
        >>> policy = CausalLMPolicy(spaces.MultiDiscrete([4] * 5), spaces.Discrete(3), lambda _: 1e-3, d_model=8)
        >>> generate(policy, np.array([[1, 2, 3, 3, 3]]), max_new_tokens=3, seed=0).prompt_lengths
        array([2])
    """
    pad = policy.action_space.n  # type: ignore[attr-defined]
    texts = th.as_tensor(prompts, device=policy.device).clone()
    if not len(texts):
        raise ValueError("there are no prompts")
    context = policy.observation_space.shape[0]  # type: ignore[index]
    if texts.shape[1] != context:
        raise ValueError(
            f"prompts of {texts.shape[1]} tokens with padding do not fit the policy's context of {context}"
        )
    lengths = text_lengths(texts, pad)
    longest = int(lengths.max())
    if longest + max_new_tokens > texts.shape[1]:
        raise ValueError(
            f"a prompt of {longest} tokens and a response of {max_new_tokens} are longer than the context of "
            f"{texts.shape[1]}"
        )
    generator = th.Generator(device=policy.device)
    generator.manual_seed(seed) if seed is not None else generator.seed()
    policy.set_training_mode(False)
    rows, writing = th.arange(len(texts), device=policy.device), th.ones_like(lengths, dtype=th.bool)
    with th.no_grad():
        for step in range(max_new_tokens):
            logits = policy.get_distribution(texts).distribution.logits  # type: ignore[union-attr]
            drawn = th.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
            token = logits.argmax(-1) if deterministic else drawn
            texts[rows[writing], lengths[writing] + step] = token[writing]
            writing = writing & (token != END)
            if not writing.any():
                break
    return Texts(texts.cpu().numpy(), lengths.cpu().numpy())


def sample_preferences(
    policy: ActorCriticPolicy,
    prompts: NDArray[np.int64],
    max_new_tokens: int,
    score: Score,
    seed: int | None = None,
    noisy: bool = True,
) -> Preferences:
    """Two responses a prompt, and which of them a judge who follows the Bradley-Terry model prefers.

    Args:
        policy: writes the responses.
        prompts: one a pair, [n, context].
        max_new_tokens: as for :func:`generate`.
        score: what the judge thinks of texts.
        seed: of responses and judgements.
        noisy: prefer the first with probability ``sigmoid(difference of the scores)``; else always the better one (a
            tie at random).

    Returns:
        The pairs whose responses differ, so at most n.

    Raises:
        ValueError: as :func:`generate`, for scores that are not finite, or if no two responses differ.
    """
    generator = np.random.default_rng(seed)
    seeds = generator.integers(2**31, size=2).tolist()
    first, second = (generate(policy, prompts, max_new_tokens, seed=each) for each in seeds)
    differ = (first.tokens != second.tokens).any(axis=1)
    if not differ.any():
        raise ValueError(
            f"all {len(prompts)} pairs have the same response twice: the policy has nothing to choose from"
        )
    first, second = first.take(differ), second.take(differ)
    margins = checked_scores(score, first) - checked_scores(score, second)
    chance = 1 / (1 + np.exp(-margins)) if noisy else np.sign(margins) / 2 + 0.5
    first_is_better = generator.random(len(margins)) < chance
    better, worse = (np.where(first_is_better[:, None] == side, first.tokens, second.tokens) for side in (True, False))
    return Preferences(Texts(better, first.prompt_lengths), Texts(worse, first.prompt_lengths))


def checked_scores(score: Score, texts: Texts) -> NDArray[np.float64]:
    """What a score function says of texts, [n].

    Raises:
        ValueError: for another shape, or a score that is not finite.
    """
    scores = np.asarray(score(texts), dtype=np.float64)
    if scores.shape != (len(texts),):
        raise ValueError(f"a score function must give one number a text, {len(texts)}; got the shape {scores.shape}")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(f"the score {scores[row]} of the text {texts.tokens[row].tolist()} is not finite")
    return scores
