import numpy as np
from numpy.typing import NDArray


def discounted_returns(rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    discounts = gamma ** np.arange(len(rewards))
    return np.cumsum((discounts * rewards)[::-1])[::-1]
