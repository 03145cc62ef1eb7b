def q_learning_update(q, r, next_qs, terminal, alpha=0.1, gamma=0.99):
    if terminal:
        return r
    return q + alpha * (r + gamma * max(next_qs) - q)
