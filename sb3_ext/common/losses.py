"""Losses: scalars in PyTorch whose gradient is the update that the textbook writes.

Optimisers descend, the policy gradient ascends: hence the minus signs. Advantages are data here; a gradient must not
flow through them, so they are detached.
"""

import torch as th


def policy_gradient_loss(
    log_probs: th.Tensor, advantages: th.Tensor, n_episodes: int = 1, mask: th.Tensor | None = None
) -> th.Tensor:
    """REINFORCE's loss (Williams 1992): minus the sum over steps of ``log pi(A_t|S_t) * advantage_t``, per episode.

    ``grad J = E[ sum_t grad log pi(A_t|S_t) advantage_t ]``, so the sum over all steps is divided by the number of
    episodes, not by the number of steps: dividing each episode by its own length would favour long bad ones.

    Args:
        log_probs: log pi(A_t|S_t), any shape.
        advantages: return, or return minus baseline, of each step; same shape.
        n_episodes: number of episodes in the batch, at least 1.
        mask: 1 (or True) for the steps that count; same shape. Default: all.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes differ (broadcasting [N] with [N, 1] is a classic silent error) or n_episodes < 1.

    Example:
        >>> policy_gradient_loss(th.tensor([-1.0, -2.0]), th.tensor([3.0, 0.5]))
        tensor(4.)
    """
    _check_shapes(log_probs=log_probs, advantages=advantages)
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be at least 1, got {n_episodes}")
    if mask is not None:
        _check_shapes(log_probs=log_probs, mask=mask)
        log_probs, advantages = log_probs[mask.bool()], advantages[mask.bool()]
    return -(log_probs * advantages.detach()).sum() / n_episodes


def categorical_entropy(logits: th.Tensor) -> th.Tensor:
    """Entropy of the softmax distribution, ``H = - sum_a pi(a) log pi(a)``, in nats.

    Args:
        logits: unnormalised log-probabilities, shape [..., n_actions]; -inf for an action that is ruled out.

    Returns:
        Entropies, shape [...], each between 0 and log(n_actions).

    Example:
        >>> categorical_entropy(th.zeros(2, 4))
        tensor([1.3863, 1.3863])
    """
    log_pi = th.log_softmax(logits, dim=-1)
    pi = log_pi.exp()
    return -(pi * th.where(pi > 0, log_pi, th.zeros_like(log_pi))).sum(dim=-1)


def entropy_loss(entropy: th.Tensor | None, log_probs: th.Tensor) -> th.Tensor:
    """Minus the mean entropy; without a closed form (a squashed Gaussian), its sample estimate ``mean(log pi)``.

    The gradient of that estimate is zero in expectation, since ``E[grad log pi] = 0``, and so would reward no entropy.
    The gradient used is the right one, ``-grad H = E[grad log pi  log pi]`` (the policy gradient, with log pi in the
    place of the return); it holds for actions drawn from the present policy.

    Args:
        entropy: entropy of the policy in each state, or None where the distribution has no closed form.
        log_probs: log pi(A_t|S_t) of the actions taken.

    Returns:
        A scalar to be multiplied by the entropy coefficient and added to the loss.

    Example:
        >>> entropy_loss(th.tensor([1.0, 3.0]), th.tensor([0.0, 0.0]))
        tensor(-2.)
        >>> entropy_loss(None, th.tensor([-1.0, -2.0]))
        tensor(-1.5000)
    """
    if entropy is not None:
        return -entropy.mean()
    surrogate = (log_probs * log_probs.detach()).mean()  # the right gradient, the wrong value
    return log_probs.mean().detach() + surrogate - surrogate.detach()


def _check_shapes(**tensors: th.Tensor) -> None:
    """Raise unless all tensors share one shape."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"shapes must be equal, got {shapes}")
