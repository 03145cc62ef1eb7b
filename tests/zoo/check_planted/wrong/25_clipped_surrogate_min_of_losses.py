import torch as th


def clipped_surrogate(log_probs, old_log_probs, adv, eps):
    adv = adv.detach()
    ratio = th.exp(log_probs - old_log_probs.detach())
    loss1 = -adv * ratio
    loss2 = -adv * th.clamp(ratio, 1.0 - eps, 1.0 + eps)
    return th.min(loss1, loss2).mean()
