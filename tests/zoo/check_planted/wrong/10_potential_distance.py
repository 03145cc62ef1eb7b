GOAL = (11, 11)
WIDTH = 13


def potential(observation):
    row, col = divmod(int(observation), WIDTH)
    return float(abs(row - GOAL[0]) + abs(col - GOAL[1]))
