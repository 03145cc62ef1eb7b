import numpy as np


def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    done = np.logical_or(terminated, truncated)
    advantages = np.zeros(len(rewards))
    last = 0.0
    for t in reversed(range(len(rewards))):
        mask = 1.0 - done[t]
        delta = rewards[t] + gamma * next_values[t] * mask - values[t]
        last = delta + gamma * gae_lambda * mask * last
        advantages[t] = last
    return advantages
