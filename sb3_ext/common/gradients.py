"""How much a gradient estimate scatters: the number that baselines are there to shrink."""

import torch as th


def gradient_variance(group_gradients: th.Tensor, group_sizes: th.Tensor) -> float:
    """Variance of a batch gradient, estimated from the gradients of groups of its episodes.

    A batch of N independent episodes with gradients g_i estimates the policy gradient by their mean. That mean has the
    total variance ``tr Cov(g_i) / N``. With the episodes split into K groups of n_k episodes and mean gradients m_k,

        ``sum_k n_k |m_k - m|^2 / (K - 1) / N``,   m the mean over all episodes,

    estimates it without bias (the between-group mean square of a one-way analysis of variance); K = N is the sample
    variance itself, a smaller K needs fewer backward passes. Its square root compares with the norm of the gradient.

    It takes the episodes for independent. A baseline made of the other episodes ties them together weakly, which this
    estimate does not see; repeat whole batches for an exact comparison.

    Args:
        group_gradients: m_k, shape [K, n_parameters], K at least 2.
        group_sizes: n_k, shape [K], each at least 1.

    Returns:
        The variance, summed over parameters; not a number if K < 2.

    Raises:
        ValueError: if the shapes do not fit or a group is empty.

    Example:
        >>> gradient_variance(th.tensor([[1.0, 0.0], [3.0, 0.0]]), th.tensor([1, 1]))  # sample variance 2, N = 2
        1.0
    """
    if group_gradients.ndim != 2 or group_sizes.shape != group_gradients.shape[:1]:
        shapes = tuple(group_gradients.shape), tuple(group_sizes.shape)
        raise ValueError(f"need group gradients [K, n_parameters] and group sizes [K]; got the shapes {shapes}")
    if (group_sizes < 1).any():
        raise ValueError(f"every group needs at least one episode, got the sizes {group_sizes.tolist()}")
    n_groups = len(group_sizes)
    if n_groups < 2:
        return float("nan")
    weights = group_sizes / group_sizes.sum()
    mean = (weights[:, None] * group_gradients).sum(dim=0)
    between = (weights * (group_gradients - mean).square().sum(dim=1)).sum()  # = sum_k n_k |m_k - m|^2 / N
    return float(between / (n_groups - 1))


def flat_gradient(module: th.nn.Module) -> th.Tensor:
    """All gradients that a module's parameters have, one after the other in a new vector, [n_parameters].

    Example:
        >>> layer = th.nn.Linear(1, 1)
        >>> layer(th.ones(1)).backward()
        >>> flat_gradient(layer)
        tensor([1., 1.])
    """
    return th.cat([parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None])
