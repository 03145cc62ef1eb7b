"""Estimates of the Kullback-Leibler divergence between two policies from the actions of one of them.

With actions drawn from pi, both estimate ``KL(pi || ref) = E_pi[ log pi - log ref ]`` without bias (Schulman 2020,
"Approximating KL divergence"). Their *gradients* are another matter:

- k1 in a loss pushes nowhere: ``E_pi[grad log pi] = 0``. It belongs to the reward, ``r - beta k1``; the policy gradient
  of that is the gradient of ``KL(pi || ref)``, which is large where pi does what ref does not.
- k3 in a loss has ``E_pi[grad k3] = E_pi[(1 - ref/pi) grad log pi] = -E_ref[grad log pi]``: the gradient of
  ``KL(ref || pi)``, which is large where pi leaves out what ref does.
"""

import torch as th

from sb3_ext.common.losses import _check_shapes


def kl_k1(log_probs: th.Tensor, ref_log_probs: th.Tensor) -> th.Tensor:
    """``log pi(A|S) - log ref(A|S)``, of either sign; its mean estimates KL(pi || ref).

    Args:
        log_probs: log pi(A|S) of actions drawn from pi, any shape.
        ref_log_probs: log ref(A|S); same shape.

    Returns:
        Same shape.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> kl_k1(th.tensor([-1.0, -2.0]), th.tensor([-1.0, -1.0]))
        tensor([ 0., -1.])
    """
    _check_shapes(log_probs=log_probs, ref_log_probs=ref_log_probs)
    return log_probs - ref_log_probs.detach()


def kl_k3(log_probs: th.Tensor, ref_log_probs: th.Tensor) -> th.Tensor:
    """``ref/pi - log(ref/pi) - 1``, never negative; its mean estimates KL(pi || ref) with less variance than k1.

    The penalty in the losses of GRPO (Shao et al. 2024, eq. 4) and TRL. Its expected gradient is that of KL(ref || pi),
    see above.

    Args:
        log_probs: log pi(A|S) of actions drawn from pi, any shape.
        ref_log_probs: log ref(A|S); same shape.

    Returns:
        Same shape, 0 or more.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> kl_k3(th.tensor([-1.0, -2.0]), th.tensor([-1.0, -1.0]))
        tensor([0.0000, 0.7183])
    """
    _check_shapes(log_probs=log_probs, ref_log_probs=ref_log_probs)
    log_ratio = ref_log_probs.detach() - log_probs
    return th.expm1(log_ratio) - log_ratio
