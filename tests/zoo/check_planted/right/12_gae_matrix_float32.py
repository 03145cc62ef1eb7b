import numpy as np


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    ends = (terminated | truncated).astype(int)
    episode = np.cumsum(ends) - ends
    delta = rewards - values + gamma * next_values * (1 - terminated.astype(float))
    t = np.arange(len(rewards))
    ahead = t[None, :] - t[:, None]
    same = (episode[None, :] == episode[:, None]) & (ahead >= 0)
    weights = np.where(same, (gamma * lam) ** np.maximum(ahead, 0), 0.0)
    return (weights @ delta).astype(np.float32)
