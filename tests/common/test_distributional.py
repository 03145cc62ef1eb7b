"""C51's projection and targets: Algorithm 1 in plain loops, eq. 7 of the paper, and what holds of all distributions."""

import math

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common.distributional import categorical_losses, categorical_targets, make_atoms, project_distribution
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets

FEW = settings(max_examples=60, deadline=None)


@st.composite
def distributions(draw):
    """Values [N, K], their probabilities, atoms; sometimes a value lies on an atom."""
    n, k, n_atoms = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(2, 7))
    low = draw(st.floats(-20, 10))
    atoms = th.linspace(low, low + draw(st.floats(0.5, 30)), n_atoms, dtype=th.float64)
    values = th.tensor(draw(st.lists(st.floats(-40, 40), min_size=n * k, max_size=n * k))).double().reshape(n, k)
    if draw(st.booleans()):
        values[0, 0] = atoms[draw(st.integers(0, n_atoms - 1))]
    weights = draw(st.lists(st.floats(0.01, 1), min_size=n * k, max_size=n * k))
    probabilities = th.tensor(weights).double().reshape(n, k)
    return values, probabilities / probabilities.sum(dim=1, keepdim=True), atoms


def algorithm_1(values, probabilities, atoms):
    """One row at a time, one value at a time."""
    v_min, v_max, n_atoms = atoms[0].item(), atoms[-1].item(), len(atoms)
    delta = (v_max - v_min) / (n_atoms - 1)
    m = np.zeros((len(values), n_atoms))
    for row in range(len(values)):
        for value, p in zip(values[row].tolist(), probabilities[row].tolist(), strict=True):
            b = (min(max(value, v_min), v_max) - v_min) / delta
            lower, upper = math.floor(b), math.ceil(b)
            if lower == upper:  # on an atom; the paper's text loses this mass
                m[row, lower] += p
            else:
                m[row, lower] += p * (upper - b)
                m[row, min(upper, n_atoms - 1)] += p * (b - lower)
    return m


def equation_7(values, probabilities, atoms):
    """(Phi T Z)_i = sum_j [1 - |[T z_j] - z_i| / delta]_0^1 p_j."""
    clipped = values.clamp(atoms[0], atoms[-1])
    delta = (atoms[-1] - atoms[0]) / (len(atoms) - 1)
    nearness = (1 - (clipped[:, None, :] - atoms[None, :, None]).abs() / delta).clamp(0, 1)
    return (nearness * probabilities[:, None, :]).sum(dim=2)


@FEW
@given(distributions())
def test_projection_is_algorithm_1_and_equation_7(batch):
    found = project_distribution(*batch)
    np.testing.assert_allclose(found, algorithm_1(*batch), atol=1e-9)
    np.testing.assert_allclose(found, equation_7(*batch), atol=1e-9)


@FEW
@given(distributions())
def test_projection_keeps_mass_and_the_mean_within_the_support(batch):
    values, probabilities, atoms = batch
    found = project_distribution(values, probabilities, atoms)
    assert (found >= -1e-12).all()
    np.testing.assert_allclose(found.sum(dim=1), 1, atol=1e-9)
    mean = (values.clamp(atoms[0], atoms[-1]) * probabilities).sum(dim=1)
    np.testing.assert_allclose(found @ atoms, mean, atol=1e-6)


def test_values_on_atoms_stay_there():
    atoms = make_atoms(-10, 10, 51)
    np.testing.assert_allclose(project_distribution(atoms[None], th.full((1, 51), 1 / 51), atoms), 1 / 51, atol=1e-6)
    eye = th.eye(51)
    np.testing.assert_allclose(project_distribution(atoms.expand(51, 51), eye, atoms), eye, atol=1e-5)


def batch(n=5, n_actions=3, n_atoms=7, seed=0):
    generator = th.Generator().manual_seed(seed)
    target, online = th.rand(2, n, n_actions, n_atoms, generator=generator, dtype=th.float64).log().softmax(-1)
    rewards = th.randn(n, generator=generator, dtype=th.float64)
    terminated = th.tensor([0.0, 1.0] * n, dtype=th.float64)[:n]
    return rewards, terminated, target, online, th.linspace(-2, 3, n_atoms, dtype=th.float64)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("per_step", [False, True])
def test_targets_in_plain_loops(double, per_step):
    rewards, terminated, target, online, atoms = batch()
    discounts = th.linspace(0.1, 0.9, 5, dtype=th.float64) if per_step else 0.9
    chooser = online if double else target
    found = categorical_targets(rewards, discounts, target, terminated, atoms, online if double else None)
    for i in range(5):
        means = [sum(p * z for p, z in zip(chooser[i, a], atoms, strict=True)) for a in range(3)]
        best = int(np.argmax(means))
        gamma = float(discounts[i]) if per_step else 0.9
        values = rewards[i] + (0.0 if terminated[i] else gamma) * atoms
        np.testing.assert_allclose(found[i], algorithm_1(values[None], target[i, best][None], atoms)[0], atol=1e-9)


@pytest.mark.parametrize("double", [False, True])
def test_the_mean_of_the_target_is_dqn_s_target(double):
    """Where no value leaves the support."""
    rewards, terminated, target, online, _ = batch()
    atoms = th.linspace(-50, 50, 7, dtype=th.float64)
    means = dqn_targets(rewards, 0.5, target @ atoms, terminated)
    if double:
        means = double_dqn_targets(rewards, 0.5, target @ atoms, terminated, online @ atoms)
    found = categorical_targets(rewards, 0.5, target, terminated, atoms, online if double else None)
    np.testing.assert_allclose(found @ atoms, means, atol=1e-9)


def test_targets_are_data():
    rewards, terminated, target, _, atoms = batch()
    assert not categorical_targets(rewards, 0.9, target.requires_grad_(), terminated, atoms).requires_grad


def test_losses_are_divergences_with_the_gradient_of_the_cross_entropy():
    logits = th.randn(4, 6, generator=th.Generator().manual_seed(1), requires_grad=True)
    targets = th.rand(4, 6, generator=th.Generator().manual_seed(2))
    targets = targets / targets.sum(dim=1, keepdim=True)
    losses = categorical_losses(logits.log_softmax(-1), targets)
    expected = th.distributions.kl_divergence(th.distributions.Categorical(targets),
                                              th.distributions.Categorical(logits=logits))  # fmt: skip
    th.testing.assert_close(losses, expected)
    gradients = [th.autograd.grad(loss, logits, retain_graph=True)[0]
                 for loss in (losses.sum(), -(targets * logits.log_softmax(-1)).sum())]  # fmt: skip
    th.testing.assert_close(*gradients)
    assert categorical_losses(targets.log(), targets).abs().max() < 1e-6


@pytest.mark.parametrize(("v_min", "v_max"), [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_support_that_is_none(v_min, v_max):
    with pytest.raises(ValueError, match="v_min must lie below v_max, both finite, got v_min="):
        make_atoms(v_min, v_max, 51)


@pytest.mark.parametrize("n_atoms", [1, 0, 2.5])
def test_too_few_atoms(n_atoms):
    with pytest.raises(ValueError, match=f"n_atoms must be a whole number, at least 2, got {n_atoms}"):
        make_atoms(0, 1, n_atoms)


def test_wrong_shapes_are_refused():
    rewards, terminated, target, online, atoms = batch()
    with pytest.raises(ValueError, match="shapes must be equal"):
        categorical_targets(rewards, 0.9, target, terminated[:, None], atoms)
    with pytest.raises(ValueError, match=r"next_probabilities must be \[5, n_actions, 7\], got \(5, 3, 6\)"):
        categorical_targets(rewards, 0.9, target[..., :6], terminated, atoms)
    with pytest.raises(ValueError, match="shapes must be equal"):
        categorical_targets(rewards, 0.9, target, terminated, atoms, online[:, :2])
    with pytest.raises(ValueError, match="shapes must be equal"):
        project_distribution(th.zeros(2, 3), th.zeros(2, 1), atoms)
    with pytest.raises(ValueError, match="shapes must be equal"):
        categorical_losses(th.zeros(2, 3), th.zeros(2, 1))
