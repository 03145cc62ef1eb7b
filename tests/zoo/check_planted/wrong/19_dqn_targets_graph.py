import torch


def dqn_targets(rewards, gamma, next_q_values, terminated):
    max_q, _ = torch.max(next_q_values, dim=1)
    return rewards + gamma * max_q * (1 - terminated)
