def discounted_returns(rewards, gamma):
    """Returns of one episode, computed backwards."""
    for t in range(len(rewards) - 2, -1, -1):
        rewards[t] += gamma * rewards[t + 1]
    return rewards
