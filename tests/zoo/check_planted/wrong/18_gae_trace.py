import torch


def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    r, v, nv = (torch.as_tensor(x, dtype=torch.float64) for x in (rewards, values, next_values))
    alive = 1.0 - torch.as_tensor(terminated, dtype=torch.float64)
    delta = r + gamma * nv * alive - v
    out, running = [], torch.tensor(0.0, dtype=torch.float64)
    for d, a in zip(delta.flip(0), alive.flip(0), strict=True):
        running = d + gamma * gae_lambda * a * running
        out.append(running)
    return torch.stack(out[::-1]).numpy()
