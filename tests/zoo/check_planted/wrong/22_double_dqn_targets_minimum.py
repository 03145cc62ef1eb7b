import torch


def double_dqn_targets(rewards, gamma, next_q_target, terminated, next_q_online):
    v1 = next_q_target.detach().max(dim=1).values
    v2 = next_q_online.detach().max(dim=1).values
    return torch.where(terminated.bool(), rewards, rewards + gamma * torch.min(v1, v2))
