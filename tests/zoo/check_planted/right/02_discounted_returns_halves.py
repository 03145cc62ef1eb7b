import numpy as np


def discounted_returns(rewards, gamma):
    """The second half first; what it is worth comes on top of the first half."""
    n = len(rewards)
    if n < 2:
        return np.array(rewards, dtype=float)
    left = discounted_returns(rewards[: n // 2], gamma)
    right = discounted_returns(rewards[n // 2 :], gamma)
    steps_to_right = np.arange(len(left), 0, -1)
    return np.concatenate([left + gamma**steps_to_right * right[0], right])
