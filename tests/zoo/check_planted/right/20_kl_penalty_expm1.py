import torch


def kl_penalty(log_probs, ref_log_probs):
    delta = torch.sub(ref_log_probs.detach(), log_probs)
    return torch.expm1(delta) - delta
