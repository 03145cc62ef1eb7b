import torch


def policy_gradient_loss(log_probs, advantages):
    weights = advantages.detach().to(log_probs.dtype) / -log_probs.numel()
    return torch.dot(weights, log_probs)
