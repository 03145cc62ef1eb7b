import torch


def double_dqn_targets(rewards, gamma, next_q_values, terminated, next_online_q_values):
    with torch.no_grad():
        actions = next_q_values.argmax(dim=1, keepdim=True)
        next_q = next_online_q_values.gather(1, actions).squeeze(1)
        return rewards + gamma * (1 - terminated) * next_q
