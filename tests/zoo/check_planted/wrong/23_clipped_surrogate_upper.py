import torch


def clipped_surrogate(log_probs, old_log_probs, advantages, clip_range):
    advantages = advantages.detach()
    ratio = torch.exp(log_probs - old_log_probs.detach())
    clipped = torch.clamp(ratio, max=1 + clip_range)
    return -torch.min(ratio * advantages, clipped * advantages).mean()
