import numpy as np


def gae(rewards, values, next_values, terminated, truncated, gamma=0.99, lam=0.95):
    v = np.append(values, next_values[-1])
    deltas = rewards + gamma * v[1:] * ~terminated - v[:-1]
    keep = gamma * lam * ~(terminated | truncated)
    adv = deltas.copy()
    for t in range(len(adv) - 2, -1, -1):
        adv[t] += keep[t] * adv[t + 1]
    return adv
