import numpy as np


def _one_group(group):
    n = len(group)
    mean = sum(group) / n
    spread = sum((g - mean) ** 2 for g in group) / n
    if max(group) == min(group):
        return [0.0] * n
    return [(g - mean) / spread for g in group]


def group_advantages(returns):
    return np.array([_one_group(group) for group in returns])
