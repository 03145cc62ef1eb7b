import numba
import numpy as np


@numba.njit
def _backwards(delta, decay):
    out = np.empty_like(delta)
    following = 0.0
    for i in range(delta.size):
        t = delta.size - 1 - i
        following = delta[t] + decay[t] * following
        out[t] = following
    return out


def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    delta = rewards + gamma * np.where(terminated, 0.0, next_values) - values
    decay = np.where(terminated | truncated, 0.0, gamma * gae_lambda)
    return _backwards(delta, decay)
