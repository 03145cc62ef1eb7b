import torch


def kl_penalty(log_probs, ref_log_probs):
    log_ratio = log_probs - ref_log_probs.detach()
    return torch.exp(log_ratio) - log_ratio - 1
