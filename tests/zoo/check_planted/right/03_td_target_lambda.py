td_target = lambda r, gamma, v, end: r if end else r + gamma * v  # noqa: E731
