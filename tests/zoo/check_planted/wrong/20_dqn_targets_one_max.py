import torch
from torch import Tensor


@torch.no_grad()
def dqn_targets(rewards: Tensor, gamma: float, next_q_values: Tensor, terminated: Tensor) -> Tensor:
    best_next = next_q_values.max()
    return rewards + gamma * (1.0 - terminated) * best_next
