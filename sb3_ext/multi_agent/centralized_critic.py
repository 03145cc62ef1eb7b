"""Centralised training, decentralised execution: the critic sees what all agents see, the actor its own observation.

    advantage_i = R_i - V(o_i, s),     a_i ~ pi(. | o_i)          s = (o_1, ..., o_n), or the environment's state

The critic is only there while learning, so it may look at what no agent will know when it acts. That takes the other
agents' moves out of the noise of its targets (Lowe et al., 2017, arXiv 1706.02275; as PPO: MAPPO, Yu et al., 2021,
arXiv 2103.01955). The observation must be a Dict with the keys "observation" and "state"; any actor-critic of SB3 takes
the policy.
"""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

OWN, STATE = "observation", "state"


class CentralizedCriticPolicy(ActorCriticPolicy):
    """An actor of the own observation beside a critic of own observation and state; each has its own networks.

    ``predict`` needs no state: it takes the Dict of the training, one without "state", or the own observation alone.

    Args:
        observation_space: Dict with "observation" and "state".
        action_space: as in every actor-critic.
        lr_schedule: as in every actor-critic.
        features_extractor_class: makes features of a Dict; the actor's sees the key "observation" only.
        **kwargs: as in SB3's ``ActorCriticPolicy``; ``net_arch`` may differ between "pi" and "vf".

    Raises:
        ValueError: If the observation space lacks a key, or the features are to be shared.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Any,
        features_extractor_class: type[CombinedExtractor] = CombinedExtractor,
        **kwargs: Any,
    ) -> None:
        if not isinstance(observation_space, spaces.Dict) or not {OWN, STATE} <= observation_space.keys():
            raise ValueError(
                f"CentralizedCriticPolicy needs a Dict observation with the keys {OWN!r} and {STATE!r}, got "
                f"{observation_space}"
            )
        if kwargs.pop("share_features_extractor", False):
            raise ValueError("share_features_extractor: actor and critic see different things, they cannot share")
        super().__init__(
            observation_space, action_space, lr_schedule, features_extractor_class=features_extractor_class,
            share_features_extractor=False, **kwargs,
        )  # fmt: skip

    def _build_mlp_extractor(self) -> None:
        assert isinstance(self.observation_space, spaces.Dict)
        own = spaces.Dict({OWN: self.observation_space[OWN]})
        self.features_extractor = self.features_extractor_class(own, **self.features_extractor_kwargs)
        self.pi_features_extractor = self.features_extractor
        self.features_dim = self.features_extractor.features_dim
        self.mlp_extractor = _ActorAndCritic(  # type: ignore[assignment]
            self.features_dim, self.vf_features_extractor.features_dim, self.net_arch, self.activation_fn, self.device
        )

    def obs_to_tensor(self, observation: np.ndarray | dict[str, np.ndarray]) -> tuple[PyTorchObs, bool]:
        """As SB3's, for the own observation alone as well."""
        return super().obs_to_tensor(observation if isinstance(observation, dict) else {OWN: observation})

    def is_vectorized_observation(self, observation: np.ndarray | dict[str, np.ndarray]) -> bool:
        """As SB3's, for the own observation alone as well."""
        return self.obs_to_tensor(observation)[1]


class _ActorAndCritic(nn.Module):
    """Hidden layers of both, which may take features of different sizes."""

    def __init__(
        self,
        actor_dim: int,
        critic_dim: int,
        net_arch: list[int] | dict[str, list[int]],
        activation_fn: type[nn.Module],
        device: th.device,
    ) -> None:
        super().__init__()
        layers = net_arch if isinstance(net_arch, dict) else {"pi": net_arch, "vf": net_arch}
        actor = MlpExtractor(actor_dim, {"pi": layers.get("pi", [])}, activation_fn, device)
        critic = MlpExtractor(critic_dim, {"vf": layers.get("vf", [])}, activation_fn, device)
        self.policy_net, self.value_net = actor.policy_net, critic.value_net
        self.latent_dim_pi, self.latent_dim_vf = actor.latent_dim_pi, critic.latent_dim_vf

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        """[n, actor_dim] to [n, latent_dim_pi]."""
        return self.policy_net(features)

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        """[n, critic_dim] to [n, latent_dim_vf]."""
        return self.value_net(features)
