"""A small language model as an SB3 policy: PPO, A2C, REINFORCE and GRPO train it like any other.

The observation is a text (``TokenWorld``'s: tokens with padding after them), the action its next token, the features
are the hidden vector of its last token; from there on it is SB3's ``ActorCriticPolicy``. Read next: ``sft.py``.
"""

from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from sb3_ext.rlhf.cache import MAX_ROWS, PrefixCache
from sb3_ext.rlhf.networks import NETWORKS, shared_prefixes


class TextFeatures(BaseFeaturesExtractor):
    """The hidden vector of a text's last token.

    Args:
        observation_space: ``MultiDiscrete([n_tokens + 1] * context)``.
        net: "transformer" or "gru".
        d_model: width.
        n_layers: depth.
        n_heads: of attention.
        use_cache: remember what was read of a text while it is written.
    """

    def __init__(
        self, observation_space: spaces.Space, net: str, d_model: int, n_layers: int, n_heads: int, use_cache: bool
    ) -> None:
        super().__init__(observation_space, d_model)
        self.pad = text_shape(observation_space)[0]
        if net not in NETWORKS:
            raise ValueError(f"net must be one of {tuple(NETWORKS)}, got {net!r}")
        for name, number in (("d_model", d_model), ("n_layers", n_layers), ("n_heads", n_heads)):
            if not isinstance(number, int | np.integer) or number < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {number}")
        self.network = NETWORKS[net](*text_shape(observation_space), d_model, n_layers, n_heads)
        self.use_cache = use_cache
        self.cache = PrefixCache()

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Features [n, d_model] of texts [n, context].

        Raises:
            ValueError: for a token outside the vocabulary, an empty text or padding before its end.
        """
        texts = observations.long()
        lengths = text_lengths(texts, self.pad)
        if self.use_cache and not self.training and not th.is_grad_enabled() and len(texts) <= MAX_ROWS:
            return self.cache.last_hidden(self.network, texts, lengths)
        longest = int(lengths.max())
        needed, within = shared_prefixes(texts[:, :longest].cpu().numpy(), self.pad)
        hidden = self.network(texts[th.as_tensor(needed, device=texts.device), :longest])
        return hidden[th.as_tensor(within, device=texts.device), lengths - 1]


class CausalLMPolicy(ActorCriticPolicy):
    """A causal language model with a value for each text so far.

    Parameters not listed are those of SB3's ``ActorCriticPolicy``; those of its networks (``net_arch``,
    ``features_extractor_class``, ``ortho_init`` ...) have no place here. So small a network is fastest on one thread:
    ``torch.set_num_threads(1)``.

    Args:
        observation_space: ``MultiDiscrete([n_tokens + 1] * context)``: token ``n_tokens`` is padding.
        action_space: ``Discrete(n_tokens)``.
        lr_schedule: learning rate.
        net: "transformer" or "gru".
        d_model: width.
        n_layers: depth.
        n_heads: of attention.
        share_features_extractor: one network for policy and value; False: one each.
        use_cache: write with a key-value cache (``cache.py``).

    Raises:
        ValueError: for other spaces, an unknown net or an argument that has no place here.

    Example:
        >>> from stable_baselines3 import PPO
        >>> from sb3_ext.envs import TokenWorldVecEnv
        >>> model = PPO(CausalLMPolicy, TokenWorldVecEnv(8, "copy"), n_steps=8, policy_kwargs={"d_model": 16})
        >>> model.learn(64).policy.log_probs(th.tensor([[1, 2, 3, 4, 1, 2, 3, 0]])).shape
        torch.Size([1, 7])
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net: Literal["transformer", "gru"] = "transformer",
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 4,
        share_features_extractor: bool = True,
        use_cache: bool = True,
        use_sde: bool = False,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        n_tokens, _ = text_shape(observation_space)
        if not isinstance(action_space, spaces.Discrete) or action_space.n != n_tokens or action_space.start != 0:
            raise ValueError(f"CausalLMPolicy needs the action space Discrete({n_tokens}), got {action_space}")
        if use_sde:
            raise ValueError("CausalLMPolicy has discrete actions, use_sde must be False")
        self.net_kwargs = {"net": net, "d_model": d_model, "n_layers": n_layers, "n_heads": n_heads}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            ortho_init=False,
            features_extractor_class=TextFeatures,
            features_extractor_kwargs={**self.net_kwargs, "use_cache": use_cache},
            share_features_extractor=share_features_extractor,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        kept = ("observation_space", "action_space", "lr_schedule", "optimizer_class", "optimizer_kwargs")
        own = {"share_features_extractor": self.share_features_extractor, "use_cache": self.use_cache}
        return {**{key: data[key] for key in kept}, **self.net_kwargs, **own}

    @property
    def pad(self) -> int:
        """The token that is padding."""
        return self.features_extractor.pad  # type: ignore[return-value]

    @property
    def use_cache(self) -> bool:
        """Whether texts are written with a key-value cache; may be set."""
        return self.features_extractor.use_cache  # type: ignore[return-value]

    @use_cache.setter
    def use_cache(self, use_cache: bool) -> None:
        self.pi_features_extractor.use_cache = self.vf_features_extractor.use_cache = use_cache  # type: ignore[assignment]

    def load_from_vector(self, vector: np.ndarray) -> None:
        """As SB3's."""
        super().load_from_vector(vector)
        for extractor in (self.pi_features_extractor, self.vf_features_extractor):
            extractor.cache.clear()  # type: ignore[operator, union-attr]

    # SB3 would turn tokens into one-hot vectors first.

    def extract_features(  # type: ignore[override]
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> th.Tensor | tuple[th.Tensor, th.Tensor]:
        """Hidden vectors [n, d_model] of texts [n, context]; for policy and value, if they have a network each."""
        if features_extractor is not None or self.share_features_extractor:
            return (features_extractor or self.features_extractor)(obs)
        return self.pi_features_extractor(obs), self.vf_features_extractor(obs)

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """Of the next token."""
        return self._get_action_dist_from_latent(self.pi_features_extractor(obs))

    def predict_values(self, obs: PyTorchObs) -> th.Tensor:
        """V of texts [n, context]: [n, 1]."""
        return self.value_net(self.vf_features_extractor(obs))

    def log_probs(self, texts: th.Tensor) -> th.Tensor:
        """The log-probability of each token given those before it, whole texts in one pass.

        Args:
            texts: tokens with padding after them, [n, context].

        Returns:
            [n, context - 1], entry t for token t + 1; 0 for padding.

        Raises:
            ValueError: as :class:`TextFeatures`.
        """
        texts = texts.long()
        lengths = text_lengths(texts, self.pad)
        longest, rows = int(lengths.max()), th.arange(len(texts), device=texts.device)
        if longest == 1:
            return th.zeros_like(texts[:, 1:], dtype=th.float32)
        read = texts[:, :longest].index_put((rows, lengths - 1), th.tensor(self.pad, device=texts.device))[:, :-1]
        needed, within = (
            th.as_tensor(each, device=texts.device) for each in shared_prefixes(read.cpu().numpy(), self.pad)
        )
        log_pi = self.action_net(self.pi_features_extractor.network(read[needed])).log_softmax(-1)  # type: ignore[operator]
        next_tokens = texts[:, 1:longest]
        is_token = next_tokens != self.pad
        places = th.arange(longest - 1, device=texts.device)
        chosen = log_pi[within[:, None], places, next_tokens * is_token]
        return th.nn.functional.pad(chosen * is_token, (0, texts.shape[1] - longest))


def text_shape(space: spaces.Space) -> tuple[int, int]:
    """Size of the vocabulary and length of the context, from the observation space of a token world.

    Raises:
        ValueError: for another space.

    Example:
        >>> text_shape(spaces.MultiDiscrete([5, 5, 5]))
        (4, 3)
    """
    sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else np.zeros(0)
    if sizes.ndim != 1 or not len(sizes) or (sizes != sizes[0]).any() or sizes[0] < 3:
        raise ValueError(f"texts need the observation space MultiDiscrete([n_tokens + 1] * context), got {space}")
    return int(sizes[0]) - 1, len(sizes)


def text_lengths(texts: th.Tensor, pad: int) -> th.Tensor:
    """How many tokens each text has, [n], of texts [n, context].

    Raises:
        ValueError: for a token outside the vocabulary, an empty text or padding before its end.
    """
    is_token = texts != pad
    lengths = is_token.sum(dim=1)
    outside = (texts < 0) | (texts > pad)
    if outside.any():
        raise ValueError(f"the tokens are 0 to {pad - 1} and the padding {pad}, got {int(texts[outside][0])}")
    if (lengths == 0).any():
        raise ValueError(f"text {int((lengths == 0).nonzero()[0])} is empty: there is nothing to go on from")
    before_the_end = th.arange(texts.shape[1], device=texts.device) < lengths[:, None]
    if (is_token != before_the_end).any():
        raise ValueError(f"text {int((is_token != before_the_end).any(1).nonzero()[0])} has padding before its end")
    return lengths
