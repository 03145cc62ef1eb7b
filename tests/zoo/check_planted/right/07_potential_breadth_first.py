from collections import deque

ROOMS = """
#############
#S....#.....#
#.....#.....#
#...........#
#.....#.....#
#.....#.....#
##.####.....#
#.....###.###
#.....#.....#
#.....#.....#
#...........#
#.....#....G#
#############
""".replace("\n", "")
WIDTH = 13


def _steps_from_goal():
    goal = ROOMS.index("G")
    steps = {goal: 0}
    queue = deque([goal])
    while queue:
        cell = queue.popleft()
        for neighbour in (cell - WIDTH, cell + WIDTH, cell - 1, cell + 1):
            if ROOMS[neighbour] != "#" and neighbour not in steps:
                steps[neighbour] = steps[cell] + 1
                queue.append(neighbour)
    return steps


STEPS = _steps_from_goal()
FARTHEST = max(STEPS.values())


def potential(observation):
    return -float(STEPS.get(int(observation), FARTHEST + 1))
