def shaping_reward(potential: float, next_potential: float, gamma: float, terminated: bool) -> float:
    return 0.0 if terminated else gamma * next_potential - potential
