import numpy as np


def epsilon_greedy(q_values, epsilon):
    n = len(q_values)
    probs = np.ones(n) * epsilon / n
    probs[np.argmax(q_values)] += 1 - epsilon
    return probs
