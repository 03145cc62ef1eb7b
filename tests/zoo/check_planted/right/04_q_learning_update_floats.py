def q_learning_update(
    q_value: float, reward: float, next_q_values, terminated: bool, learning_rate: float, gamma: float
) -> float:
    target = float(reward)
    if not terminated:
        target += gamma * max(map(float, next_q_values))
    return (1.0 - learning_rate) * float(q_value) + learning_rate * target
