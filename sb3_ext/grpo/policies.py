"""Policies without a critic: SB3's actor-critic policies, less whatever only a value function needs."""

from typing import Any

import torch as th
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn


class NoValue(nn.Module):
    """Stands where SB3 expects a value network: it has no parameters, and each value is 0."""

    def forward(self, features: th.Tensor) -> th.Tensor:
        """Zeros [n, 1] for features [n, ...]."""
        return features.new_zeros(len(features), 1)


class ActorPolicy(ActorCriticPolicy):
    """SB3's ``ActorCriticPolicy`` without its critic; arguments as there.

    ``net_arch`` is a list of layer sizes, or ``dict(pi=[...])``; ``vf`` in it is ignored.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "share_features_extractor": True})  # a second one would be the critic's

    def _build_mlp_extractor(self) -> None:
        layers = self.net_arch.get("pi", []) if isinstance(self.net_arch, dict) else self.net_arch
        self.mlp_extractor = MlpExtractor(
            self.features_dim, net_arch={"pi": layers, "vf": []}, activation_fn=self.activation_fn, device=self.device
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.value_net = NoValue()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]


class ActorCnnPolicy(ActorPolicy, ActorCriticCnnPolicy):
    """For images: SB3's ``ActorCriticCnnPolicy`` without its critic."""


class MultiInputActorPolicy(ActorPolicy, MultiInputActorCriticPolicy):
    """For Dict observations: SB3's ``MultiInputActorCriticPolicy`` without its critic."""
