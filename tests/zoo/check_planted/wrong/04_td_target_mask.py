def td_target(reward: float, gamma: float, next_value: float, terminated: bool) -> float:
    return reward + gamma * next_value * terminated
