import torch


def clipped_surrogate(
    log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, clip_range: float = 0.2
) -> torch.Tensor:
    r = (log_probs - old_log_probs.detach()).exp().clip(1 - clip_range, 1 + clip_range)
    return -(r * advantages.detach()).mean()
