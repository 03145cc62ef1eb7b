"""Q networks of Rainbow: dueling streams, noisy layers, distributions; each for itself or together.

    Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')                                      dueling; Wang et al. 2016, eq. 9
    y = (mu_w + sigma_w * e_w) x + mu_b + sigma_b * e_b                              noisy; Fortunato et al. 2018, eq. 9
    e_w = f(e_out) f(e_in)^T,  e_b = f(e_out),  f(x) = sign(x) sqrt(|x|)             their eqs. 10 and 11, factorised
    Q(s, a) = sum_i p_i(s, a) z_i                                                    C51; ``common/distributional.py``

What deviates from the papers: the streams of a dueling network part before the last hidden layer of ``net_arch``, which
each has for itself (without hidden layers, as with SB3's CnnPolicy, they part after the features); only the layers of
``net_arch`` are noisy, features are not.

Read next: ``rainbow.py``.
"""

import math
from itertools import pairwise

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.dqn.policies import QNetwork
from torch import nn
from torch.nn import functional as F

from sb3_ext.common.distributional import make_atoms

SIGMA_0 = 0.5
"""Scale of the noise at the start (Fortunato et al. 2018, section 3.2)."""


def dueling(values: th.Tensor, advantages: th.Tensor) -> th.Tensor:
    """``V + A - mean_a A``: V and A would not be determined without the mean (Wang et al. 2016, eq. 9).

    Args:
        values: V(s), [N, 1, n_outputs].
        advantages: A(s, a), [N, n_actions, n_outputs].

    Returns:
        Q(s, a), or the logits of its distribution, [N, n_actions, n_outputs].

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> dueling(th.tensor([[[10.0]]]), th.tensor([[[1.0], [3.0]]])).flatten()
        tensor([ 9., 11.])
    """
    expected = (len(advantages), 1, advantages.shape[-1])
    if advantages.ndim != 3 or tuple(values.shape) != expected:
        raise ValueError(f"values must be {expected} beside advantages {tuple(advantages.shape)}, got {values.shape}")
    return values + advantages - advantages.mean(dim=1, keepdim=True)


def factorized_noise(size: int, device: th.device | None = None) -> th.Tensor:
    """``sign(x) sqrt(|x|)`` of standard normal x, [size], from torch's generator."""
    x = th.randn(size, device=device)
    return x.sign() * x.abs().sqrt()


class NoisyLinear(nn.Module):
    """A linear layer whose weights scatter as far as it has learned to let them.

    Without noise, as it is at first, it is a plain linear layer with the mean weights.

    Args:
        in_features: size of the input.
        out_features: size of the output.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        reach = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(th.empty(out_features, in_features).uniform_(-reach, reach))
        self.bias = nn.Parameter(th.empty(out_features).uniform_(-reach, reach))
        self.weight_sigma = nn.Parameter(th.full((out_features, in_features), SIGMA_0 * reach))
        self.bias_sigma = nn.Parameter(th.full((out_features,), SIGMA_0 * reach))
        self._noise: tuple[th.Tensor, th.Tensor] | None = None

    def sample_noise(self) -> None:
        """Draw new noise, the same for every row of the batches to come."""
        n_out, n_in = self.weight.shape
        self._noise = factorized_noise(n_in, self.weight.device), factorized_noise(n_out, self.weight.device)

    def remove_noise(self) -> None:
        """From now on the mean weights."""
        self._noise = None

    def forward(self, x: th.Tensor) -> th.Tensor:
        """[N, in_features] to [N, out_features]."""
        means = F.linear(x, self.weight, self.bias)
        if self._noise is None:
            return means
        noise_in, noise_out = self._noise
        return means + noise_out * F.linear(x * noise_in, self.weight_sigma, self.bias_sigma)

    @property
    def noise_scale(self) -> float:
        """Mean of |sigma| of the weights, in units of what it would be at the start with sigma_0 = 1."""
        return self.weight_sigma.detach().abs().mean().item() * math.sqrt(self.weight.shape[1])


class QHead(nn.Module):
    """From features to ``n_outputs`` numbers for each action.

    Args:
        features_dim: size of the features.
        n_actions: number of actions.
        n_outputs: 1 for Q values, the number of atoms for distributions.
        net_arch: sizes of hidden layers.
        activation_fn: between them.
        dueling: two streams.
        noisy: noisy layers.
    """

    def __init__(
        self,
        features_dim: int,
        n_actions: int,
        n_outputs: int,
        net_arch: list[int],
        activation_fn: type[nn.Module],
        dueling: bool,
        noisy: bool,
    ):
        super().__init__()
        self.n_actions, self.n_outputs = n_actions, n_outputs
        linear = NoisyLinear if noisy else nn.Linear

        def layers(sizes: list[int], ends_linear: bool) -> nn.Sequential:
            modules = [module for pair in pairwise(sizes) for module in (linear(*pair), activation_fn())]
            return nn.Sequential(*modules[: -1 if ends_linear else None])

        sizes = [features_dim, *net_arch]
        n_shared = max(1, len(sizes) - 1) if dueling else len(sizes)
        self.shared = layers(sizes[:n_shared], ends_linear=False)
        self.advantage = layers([*sizes[n_shared - 1 :], n_actions * n_outputs], ends_linear=True)
        self.value = layers([*sizes[n_shared - 1 :], n_outputs], ends_linear=True) if dueling else None

    def forward(self, features: th.Tensor) -> th.Tensor:
        """[N, features_dim] to [N, n_actions, n_outputs]."""
        hidden = self.shared(features)
        outputs = self.advantage(hidden).unflatten(-1, (self.n_actions, self.n_outputs))
        return outputs if self.value is None else dueling(self.value(hidden).unsqueeze(1), outputs)


class RainbowQNetwork(QNetwork):
    """SB3's ``QNetwork`` with another head; called, it gives Q values like that one.

    Args:
        observation_space: as SB3's, like all that is not listed.
        action_space: Discrete.
        features_extractor: module.
        features_dim: size of its output.
        net_arch: sizes of the hidden layers of the head; default: [64, 64].
        activation_fn: between them.
        normalize_images: divide images by 255.
        dueling: a stream for V and one for A.
        noisy: noisy layers.
        distributional: a distribution over atoms instead of a mean.
        n_atoms: their number.
        v_min: the lowest.
        v_max: the highest.
    """

    atoms: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
        *,
        dueling: bool = False,
        noisy: bool = False,
        distributional: bool = False,
        n_atoms: int = 51,
        v_min: float = -10.0,
        v_max: float = 10.0,
    ):
        super().__init__(
            observation_space, action_space, features_extractor, features_dim, net_arch, activation_fn, normalize_images
        )
        self.distributional = distributional
        n_outputs = n_atoms if distributional else 1
        n_actions = int(action_space.n)
        self.q_net = QHead(features_dim, n_actions, n_outputs, self.net_arch, activation_fn, dueling, noisy)  # type: ignore[assignment]
        if distributional:
            self.register_buffer("atoms", make_atoms(v_min, v_max, n_atoms), persistent=False)
        self._noisy_layers = [module for module in self.q_net.modules() if isinstance(module, NoisyLinear)]

    def logits(self, obs: PyTorchObs) -> th.Tensor:
        """What the head says, [N, n_actions, n_outputs]."""
        return self.q_net(self.extract_features(obs, self.features_extractor))

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """Q values, [N, n_actions]."""
        outputs = self.logits(obs)
        return outputs.softmax(dim=-1) @ self.atoms if self.distributional else outputs.squeeze(-1)

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """Greedy actions; unless deterministic, by new noise, the same for the whole batch."""
        if not deterministic:
            self.sample_noise()
        actions = super()._predict(observation, deterministic)
        self.remove_noise()
        return actions

    def sample_noise(self) -> None:
        """Draw new noise for every noisy layer."""
        for layer in self._noisy_layers:
            layer.sample_noise()

    def remove_noise(self) -> None:
        """Back to the mean weights."""
        for layer in self._noisy_layers:
            layer.remove_noise()

    @property
    def noise_scale(self) -> float:
        """Mean over noisy layers of ``NoisyLinear.noise_scale``: 0.5 at first."""
        return sum(layer.noise_scale for layer in self._noisy_layers) / len(self._noisy_layers)
