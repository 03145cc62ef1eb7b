import numpy as np
import pytest

from sb3_ext.common.slots import result_of


def test_arrays_are_copies():
    rewards = np.ones(3)

    def spoil(rewards):
        rewards[:] = 5
        return rewards

    assert result_of(spoil, (3,), rewards).tolist() == [5, 5, 5]
    assert rewards.tolist() == [1, 1, 1]


@pytest.mark.parametrize("result", [[1.0, 2.0], (1, 2), np.array([1, 2], np.float32), np.array([1, 2])], ids=str)
def test_whatever_holds_the_numbers(result):
    numbers = result_of(lambda: result, (2,))
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "returned nothing"),
        ("high", "not numbers"),
        ([1.0], r"the shape \(1,\), expected \(2,\)"),
        ([1.0, np.nan], "not finite"),
        ([[1.0], [2.0, 3.0]], "not numbers"),
    ],
    ids=["None", "text", "shape", "nan", "ragged"],
)
def test_other_results_are_refused(result, says):
    def mine():
        return result

    with pytest.raises(ValueError, match=rf"mine returned.*{says}|mine {says}"):
        result_of(mine, (2,))
