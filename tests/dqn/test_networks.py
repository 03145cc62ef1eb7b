"""Dueling streams, noisy layers and distributions: by hand, by their moments, and through the policy."""

from itertools import pairwise

import numpy as np
import pytest
import torch as th
from helpers_dqn import KINDS, build, chase
from torch import nn
from torch.nn import functional as F

from sb3_ext.dqn import RainbowPolicy
from sb3_ext.dqn.networks import NoisyLinear, QHead, dueling, factorized_noise


def test_dueling_by_hand():
    values, advantages = th.tensor([[[1.0, 5.0]]]), th.tensor([[[0.0, 1.0], [2.0, 2.0], [4.0, 3.0]]])
    assert dueling(values, advantages).tolist() == [[[-1.0, 4.0], [1.0, 5.0], [3.0, 6.0]]]


def test_dueling_s_mean_over_actions_is_v():
    values, advantages = th.randn(7, 1, 3), th.randn(7, 4, 3)
    th.testing.assert_close(dueling(values, advantages).mean(dim=1, keepdim=True), values)
    th.testing.assert_close(dueling(values, advantages + 10), dueling(values, advantages), atol=1e-5, rtol=1e-5)


def test_dueling_refuses_to_broadcast():
    with pytest.raises(ValueError, match=r"values must be \(2, 1, 3\) beside advantages \(2, 4, 3\)"):
        dueling(th.zeros(2, 4, 3), th.zeros(2, 4, 3))


def test_the_noise_s_moments():
    """E f(x) = 0 and E f(x)^2 = E |x| = sqrt(2 / pi)."""
    th.manual_seed(0)
    noise = factorized_noise(200_000)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert (noise**2).mean().item() == pytest.approx(np.sqrt(2 / np.pi), abs=0.01)


def test_a_noisy_layer_is_the_paper_s():
    """y = (mu_w + sigma_w * e_out e_in^T) x + mu_b + sigma_b * e_out."""
    th.manual_seed(0)
    layer, x = NoisyLinear(5, 3), th.randn(4, 5)
    layer.sample_noise()
    noise_in, noise_out = layer._noise
    weight = layer.weight + layer.weight_sigma * th.outer(noise_out, noise_in)
    th.testing.assert_close(layer(x), F.linear(x, weight, layer.bias + layer.bias_sigma * noise_out))
    layer.remove_noise()
    th.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


def test_a_noisy_layer_starts_as_the_paper_says():
    layer = NoisyLinear(100, 50)
    assert layer.weight.abs().max().item() <= 0.1
    assert layer.weight.std().item() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    assert set(layer.weight_sigma.flatten().tolist()) == set(layer.bias_sigma.tolist())
    assert layer.weight_sigma[0, 0].item() == pytest.approx(0.5 / np.sqrt(100))
    assert layer.noise_scale == pytest.approx(0.5)


def test_sigma_learns_from_the_noise():
    layer = NoisyLinear(5, 3)
    layer(th.ones(1, 5)).sum().backward()
    assert layer.weight_sigma.grad is None
    layer.sample_noise()
    layer(th.ones(1, 5)).sum().backward()
    assert layer.weight_sigma.grad.abs().min() > 0


@pytest.mark.parametrize("net_arch", [[], [8], [8, 6]])
@pytest.mark.parametrize("is_dueling", [False, True])
def test_layers_are_where_net_arch_says(net_arch, is_dueling):
    """The last hidden layer belongs to a stream; all before it is shared."""
    head = QHead(5, 3, 2, net_arch, nn.ReLU, is_dueling, noisy=False)
    assert head(th.zeros(4, 5)).shape == (4, 3, 2)
    parts = {"shared": head.shared, "advantage": head.advantage, "value": head.value}
    layers = {name: [(m.in_features, m.out_features) for m in part.modules() if isinstance(m, nn.Linear)]
              for name, part in parts.items() if part}  # fmt: skip
    sizes = [5, *net_arch]
    shared = list(pairwise(sizes))
    own = [shared.pop()] if is_dueling and net_arch else []
    assert layers.get("shared", []) == shared
    assert layers["advantage"] == [*own, (sizes[-1], 6)]
    assert layers.get("value") == ([*own, (sizes[-1], 2)] if is_dueling else None)
    activations = [m for m in head.modules() if isinstance(m, nn.ReLU)]
    assert len(activations) == len(net_arch) + bool(is_dueling and net_arch)


def q_net(kind="vector", **switches):
    return build(chase(kind), kind=kind, **switches).q_net


def test_q_is_the_mean_of_the_distribution():
    net = q_net(distributional=True, n_atoms=5, v_min=-1.0, v_max=3.0)
    observations = th.randn(7, 3)
    probabilities = net.logits(observations).softmax(-1)
    assert probabilities.shape == (7, 3, 5)
    expected = sum(probabilities[..., i] * z for i, z in enumerate([-1.0, 0.0, 1.0, 2.0, 3.0]))
    th.testing.assert_close(net(observations), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_policy_has_every_network(kind):
    everything = {"dueling": True, "noisy": True, "distributional": True}
    model = build(chase(kind), kind=kind, **everything)
    env = model.get_env()
    actions, _ = model.predict(env.reset())
    assert actions.shape == (2,)
    assert sum(isinstance(m, NoisyLinear) for m in model.q_net.modules()) >= 2
    assert model.q_net.logits(model.policy.obs_to_tensor(env.reset())[0]).shape == (2, 3, 51)


def test_noise_explores_and_predict_is_deterministic_without_it():
    model = build(noisy=True)
    assert model.exploration_rate == 0
    observation = np.zeros((1, 3), np.float32)
    greedy = {int(model.predict(observation, deterministic=True)[0][0]) for _ in range(30)}
    explored = {int(model.predict(observation, deterministic=False)[0][0]) for _ in range(200)}
    assert len(greedy) == 1
    assert len(explored) > 1
    tensor = th.zeros(1, 3)
    th.testing.assert_close(model.q_net(tensor), model.q_net(tensor))  # no noise is left behind


def test_noise_is_seeded():
    runs = []
    for seed in (1, 1, 2):
        model = build(noisy=True, seed=seed)
        model.set_random_seed(seed)
        runs.append([int(model.predict(np.zeros(3, np.float32))[0]) for _ in range(50)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_policy_alone_is_saved_and_loaded(tmp_path):
    model = build(dueling=True, distributional=True, noisy=True, v_min=-3.0)
    model.policy.save(tmp_path / "policy")
    loaded, observations = RainbowPolicy.load(tmp_path / "policy"), th.randn(5, 3)
    th.testing.assert_close(loaded.q_net(observations), model.q_net(observations))
