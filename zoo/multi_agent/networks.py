"""A network for boards."""

from typing import Any

import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class BoardConvolution(BaseFeaturesExtractor):
    """Features of every square window of a board: one layer that need not learn each place of a line anew.

    Args:
        observation_space: [rows, columns, planes].
        size: Of the windows.
        filters: Features of each.
    """

    def __init__(self, observation_space: Any, size: int = 4, filters: int = 64) -> None:
        rows, columns, planes = observation_space.shape
        super().__init__(observation_space, filters * (rows - size + 1) * (columns - size + 1))
        self.convolution = nn.Conv2d(planes, filters, size)

    def forward(self, boards: torch.Tensor) -> torch.Tensor:
        """[n, rows, columns, planes] to [n, features]."""
        return torch.relu(self.convolution(boards.permute(0, 3, 1, 2))).flatten(1)
