from torch import Tensor


def kl_penalty(log_probs: Tensor, ref_log_probs: Tensor) -> Tensor:
    d = ref_log_probs.detach() - log_probs
    return d.exp() - d
