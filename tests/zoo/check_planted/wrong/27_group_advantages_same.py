import numpy as np


def group_advantages(returns: np.ndarray) -> np.ndarray:
    mean = returns.mean(axis=1, keepdims=True)
    std = returns.std(axis=1, keepdims=True)
    return (returns - mean) / std
