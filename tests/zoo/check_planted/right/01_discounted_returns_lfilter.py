import numpy as np
from scipy.signal import lfilter


def discounted_returns(rewards, gamma):
    backwards = np.asarray(rewards)[::-1]
    return lfilter([1.0], [1.0, -gamma], backwards)[::-1]
