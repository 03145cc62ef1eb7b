"""SB3's policies for DQN, with Rainbow's networks."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from sb3_ext.dqn.networks import RainbowQNetwork


class RainbowPolicy(DQNPolicy):
    """SB3's ``DQNPolicy``; without any of the switches it is just that.

    Args:
        observation_space: as SB3's, like all that is not listed.
        action_space: Discrete.
        lr_schedule: learning rate.
        net_arch: sizes of hidden layers; default: [64, 64], or [] with NatureCNN.
        activation_fn: between them.
        features_extractor_class: features extractor.
        features_extractor_kwargs: its arguments.
        normalize_images: divide images by 255.
        optimizer_class: optimiser.
        optimizer_kwargs: its arguments.
        dueling: see :class:`sb3_ext.dqn.RainbowDQN`, which sets this and the following.
        noisy: likewise.
        distributional: likewise.
        n_atoms: likewise.
        v_min: likewise.
        v_max: likewise.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        *,
        dueling: bool = False,
        noisy: bool = False,
        distributional: bool = False,
        n_atoms: int = 51,
        v_min: float = -10.0,
        v_max: float = 10.0,
    ):
        self.switches: dict[str, Any] = {"dueling": dueling, "noisy": noisy, "distributional": distributional,
                                         "n_atoms": n_atoms, "v_min": v_min, "v_max": v_max}  # fmt: skip
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch,
            activation_fn,
            features_extractor_class,
            features_extractor_kwargs,
            normalize_images,
            optimizer_class,
            optimizer_kwargs,
        )

    def make_q_net(self) -> QNetwork:
        """SB3's network, or Rainbow's if a switch asks for it."""
        if not (self.switches["dueling"] or self.switches["noisy"] or self.switches["distributional"]):
            return super().make_q_net()
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return RainbowQNetwork(**arguments, **self.switches).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.switches}


MlpPolicy = RainbowPolicy


class CnnPolicy(RainbowPolicy):
    """For images; arguments as :class:`RainbowPolicy`, with SB3's ``NatureCNN``."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] = NatureCNN,
        **kwargs: Any,
    ):
        settings = (net_arch, activation_fn, features_extractor_class)
        super().__init__(observation_space, action_space, lr_schedule, *settings, **kwargs)


class MultiInputPolicy(RainbowPolicy):
    """For Dict observations; arguments as :class:`RainbowPolicy`, with SB3's ``CombinedExtractor``."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] = CombinedExtractor,
        **kwargs: Any,
    ):
        settings = (net_arch, activation_fn, features_extractor_class)
        super().__init__(observation_space, action_space, lr_schedule, *settings, **kwargs)
