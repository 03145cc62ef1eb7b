import torch


def dqn_targets(rewards: torch.Tensor, gamma: float, next_q_values: torch.Tensor, terminated: torch.Tensor):
    rows = zip(rewards.tolist(), next_q_values.tolist(), terminated.tolist(), strict=True)
    targets = [r if end else r + gamma * max(q) for r, q, end in rows]
    return torch.tensor(targets, dtype=rewards.dtype)
