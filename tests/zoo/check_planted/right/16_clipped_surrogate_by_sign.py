import torch


def clipped_surrogate(log_probs, old_log_probs, advantages, clip_range):
    a = advantages.detach()
    limit = a + clip_range * a.abs()
    r = torch.exp(log_probs - old_log_probs.detach())
    return -torch.minimum(r * a, limit).mean()
