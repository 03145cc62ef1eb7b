import numpy as np


def potential(observation) -> float:
    """Closeness to the goal in the lower right corner."""
    y, x = np.unravel_index(int(observation), (13, 13))
    distance = np.sqrt((y - 11.0) ** 2 + (x - 11.0) ** 2)
    return 1.0 / distance
