from torch.nn.functional import relu


def clipped_surrogate(new, old, adv, eps=0.2):
    adv = adv.detach()
    ratio = (new - old.detach()).exp()
    clipped = ratio.clamp(1 - eps, 1 + eps)
    too_good = relu((clipped - ratio) * adv)
    return (too_good - clipped * adv).sum() / adv.numel()
