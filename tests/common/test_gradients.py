"""The estimate of a gradient's variance against the sample variance, a slow formula, and a simulated truth."""

import math

import numpy as np
import pytest
import torch as th

from sb3_ext.common import gradient_variance


def group_means(gradients, sizes):
    """The mean gradient of consecutive groups, [K, n_parameters]."""
    return th.stack([group.mean(dim=0) for group in gradients.split(sizes)])


def test_by_hand_with_unequal_groups():
    # N = 4, the mean is (3 * 2 + 1 * 6) / 4 = 3, between the groups 3 * 1 + 1 * 9 = 12; 12 / (2 - 1) / 4 = 3
    assert gradient_variance(th.tensor([[2.0], [6.0]]), th.tensor([3, 1])) == pytest.approx(3.0)


@pytest.mark.parametrize("n_episodes", [2, 5, 40])
def test_groups_of_one_give_the_sample_variance_of_the_mean(n_episodes):
    gradients = th.randn(n_episodes, 7, generator=th.Generator().manual_seed(n_episodes), dtype=th.float64)
    expected = gradients.var(dim=0).sum().item() / n_episodes
    assert gradient_variance(gradients, th.ones(n_episodes, dtype=th.long)) == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 1, 1], [2, 2, 2], [1, 2, 3], [5, 1]])
def test_unbiased_against_the_truth(sizes):
    """The average of many estimates lies within 5 standard errors of the variance that was put in."""
    deviations, repetitions = th.tensor([1.0, 3.0, 0.1], dtype=th.float64), 4000
    noise = th.randn(repetitions, sum(sizes), 3, generator=th.Generator().manual_seed(0), dtype=th.float64)
    batches = th.tensor([5.0, -2.0, 0.0]) + deviations * noise
    truth = deviations.square().sum().item() / sum(sizes)

    estimates = np.array([gradient_variance(group_means(batch, sizes), th.tensor(sizes)) for batch in batches])
    standard_error = estimates.std(ddof=1) / math.sqrt(repetitions)
    assert standard_error < 0.05 * truth
    assert abs(estimates.mean() - truth) < 5 * standard_error
    # ... and it is the variance that batches of this size really have
    assert batches.mean(dim=1).var(dim=0).sum().item() == pytest.approx(truth, rel=0.15)


def test_scaling_shifting_and_reordering():
    gradients = th.randn(6, 4, generator=th.Generator().manual_seed(1), dtype=th.float64)
    sizes = th.tensor([1, 4, 2, 2, 1, 3])
    base = gradient_variance(gradients, sizes)
    assert gradient_variance(gradients + 7.0, sizes) == pytest.approx(base)
    assert gradient_variance(gradients * 3.0, sizes) == pytest.approx(9 * base)
    order = th.tensor([3, 0, 5, 1, 4, 2])
    assert gradient_variance(gradients[order], sizes[order]) == pytest.approx(base)
    assert gradient_variance(th.ones(6, 4), sizes) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("n_groups", [0, 1])
def test_too_few_groups_have_no_estimate(n_groups):
    assert math.isnan(gradient_variance(th.ones(n_groups, 3), th.ones(n_groups)))


def test_errors_name_the_value():
    with pytest.raises(ValueError, match=r"got the shapes \(\(3, 2\), \(2,\)\)"):
        gradient_variance(th.ones(3, 2), th.ones(2))
    with pytest.raises(ValueError, match=r"got the shapes \(\(3,\), \(3,\)\)"):
        gradient_variance(th.ones(3), th.ones(3))
    with pytest.raises(ValueError, match=r"at least one episode, got the sizes \[2, 0\]"):
        gradient_variance(th.ones(2, 3), th.tensor([2, 0]))
