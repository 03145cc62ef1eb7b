"""n-step rewards in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common.replay_windows import n_step_rewards


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.floats(0, 1), st.data())
def test_in_plain_loops(n_windows, n, gamma, data):
    rewards = data.draw(arrays(np.float64, (n_windows, n), elements=st.floats(-9, 9)))
    ends = data.draw(arrays(np.bool_, (n_windows, n)))
    sums, lengths = n_step_rewards(rewards, ends, gamma)
    for i in range(n_windows):
        total, k = 0.0, 0
        for k in range(n):
            total += gamma**k * rewards[i, k]
            if ends[i, k]:
                break
        assert sums[i] == pytest.approx(total)
        assert lengths[i] == k + 1


def test_what_comes_after_an_end_does_not_matter():
    sums, lengths = n_step_rewards([[1.0, np.nan, np.inf]], [[True, False, False]], 0.9)
    assert (sums.tolist(), lengths.tolist()) == ([1.0], [1])


@pytest.mark.parametrize("shape", [(3,), (3, 0), (2, 2)])
def test_shapes(shape):
    with pytest.raises(ValueError, match=r"rewards and ends must be \[N, n\], got"):
        n_step_rewards(np.zeros(shape), np.zeros((3, 2)) if len(shape) == 2 and shape[1] else np.zeros(shape), 0.9)
