import numpy as np
import torch


def group_advantages(returns: np.ndarray) -> np.ndarray:
    g = torch.from_numpy(np.array(returns, dtype=np.float64))
    centred = g - g.mean(dim=1, keepdim=True)
    n = max(g.shape[1] - 1, 1)
    std = torch.sqrt((centred**2).sum(dim=1, keepdim=True) / n)
    all_equal = (g == g[:, :1]).all(dim=1, keepdim=True)
    return torch.where(all_equal, torch.zeros_like(g), centred / (std + 1e-8)).numpy()
