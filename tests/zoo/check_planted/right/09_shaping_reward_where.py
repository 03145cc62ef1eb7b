import numpy as np


def shaping_reward(phi: float, phi_next: float, gamma: float, terminated: bool) -> float:
    after = np.where(terminated, 0.0, phi_next)
    return float(np.dot([gamma, -1.0], [after, phi]))
