import numpy as np
import pytest
import torch as th

from sb3_ext.common.slots import result_of, tensor_of


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


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "returned None, not a tensor"),
        (1.0, r"returned 1\.0, not a tensor"),
        (np.ones(2), "not a tensor"),
        (th.ones(2), r"the shape \(2,\), expected \(\)"),
        (th.tensor(th.nan), "not finite"),
        (th.tensor(1.0), "no gradient flows"),
    ],
    ids=["None", "float", "array", "shape", "nan", "detached"],
)
def test_what_is_no_loss_is_refused(result, says):
    with pytest.raises(ValueError, match=says):
        tensor_of(lambda log_probs: result, (), th.ones(2), gradient=True)


def test_a_tensor_with_gradient_is_numbers():
    assert result_of(lambda: th.tensor([0.5], requires_grad=True), (1,)).tolist() == [0.5]
