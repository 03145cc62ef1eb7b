import random

import numpy as np


def epsilon_greedy(q_values: np.ndarray, epsilon: float = 0.1) -> np.ndarray:
    if random.random() < epsilon:
        action = random.randrange(len(q_values))
    else:
        best = [a for a, q in enumerate(q_values) if q == max(q_values)]
        action = random.choice(best)
    policy = np.zeros(len(q_values))
    policy[action] = 1.0
    return policy
