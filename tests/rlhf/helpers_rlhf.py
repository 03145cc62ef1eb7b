"""Small worlds and policies that the tests of this folder share."""

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_ext.rlhf import CausalLMPolicy

SMALL = {"d_model": 16, "n_layers": 2, "n_heads": 2}


def make_policy(net="transformer", n_tokens=5, context=7, seed=0, **kwargs):
    """A policy in evaluation mode, with weights large enough that its distributions are not flat."""
    th.manual_seed(seed)
    space = spaces.MultiDiscrete([n_tokens + 1] * context)
    policy = CausalLMPolicy(space, spaces.Discrete(n_tokens), lambda _: 1e-3, net=net, **{**SMALL, **kwargs})
    with th.no_grad():
        policy.action_net.weight.mul_(5)
    policy.set_training_mode(False)
    return policy


def random_texts(n, n_tokens=5, context=7, seed=0):
    """Texts of random length, [n, context]."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, context + 1, size=n)
    texts = generator.integers(n_tokens, size=(n, context))
    texts[np.arange(context) >= lengths[:, None]] = n_tokens
    return th.as_tensor(texts)
