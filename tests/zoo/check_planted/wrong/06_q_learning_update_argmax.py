import numpy as np


def q_learning_update(q_value, reward, next_q_values, terminated, learning_rate, gamma):
    best_next = 0.0 if terminated else np.argmax(next_q_values)
    td_error = reward + gamma * best_next - q_value
    return q_value + learning_rate * td_error
