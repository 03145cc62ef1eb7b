import numpy as np


def epsilon_greedy(q, eps):
    best = np.equal(q, np.amax(q))
    return eps / np.size(q) + (1 - eps) * best / np.count_nonzero(best)
