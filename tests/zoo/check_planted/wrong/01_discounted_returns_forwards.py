import numpy as np


def discounted_returns(rewards, gamma):
    G = 0.0
    returns = []
    for r in rewards:
        G = r + gamma * G
        returns.append(G)
    return np.array(returns)
