def policy_gradient_loss(log_probs, advantages):
    loss = 0
    for lp, adv in zip(log_probs, advantages.detach(), strict=True):
        loss = loss - lp * adv
    return loss
