import torch
import torch.nn.functional as F


def double_dqn_targets(rewards, gamma, next_q_values, terminated, next_online_q_values):
    picked = F.one_hot(next_online_q_values.argmax(-1), next_q_values.shape[-1]).to(next_q_values.dtype)
    judged = torch.einsum("na,na->n", picked, next_q_values)
    return (rewards + gamma * judged * (1.0 - terminated)).detach()
