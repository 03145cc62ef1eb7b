"""Distances to the goal, against the shortest paths that the layouts are known for."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_ext.envs import LAYOUTS
from sb3_ext.envs.grid.world import GridWorld
from sb3_ext.envs.textbook.short_corridor import ShortCorridor
from sb3_ext.envs.wrappers.potentials import GoalDistance, steps_to_goal
from sb3_ext.envs.wrappers.shaping import PotentialShaping

SHORTEST = {
    "Seeds4x4": 6,
    "Obstacles5x5": 8,
    "CliffWalking": 13,
    "WindyGridWorld": 15,
    "WindyKingsMoves": 7,
    "FourRooms": 20,
    "DynaMaze": 14,
    "BlockingMaze": 10,
    "ShortcutMaze": 16,
    "KeyDoor": 10,
    "FrozenLake4x4": 6,
}


def test_every_layout_with_a_goal_is_measured():
    luck = "WindyStochastic"  # chance counts as luck, so there is no path to look up in the book
    assert {*SHORTEST, luck} == {name for name, layout in LAYOUTS.items() if "G" in "".join(layout["map"])}
    distance = GoalDistance(env := GridWorld(luck))
    assert 1 < distance(env.reset(seed=0)[0]) <= SHORTEST["WindyKingsMoves"]


@pytest.mark.parametrize("name", SHORTEST)
def test_the_distance_from_the_start_is_the_shortest_path(name):
    env = GridWorld(name)
    observation, _ = env.reset(seed=0)
    assert GoalDistance(env)(observation) == SHORTEST[name]
    assert steps_to_goal(env.mdp)[env.state] == SHORTEST[name]  # from the rewards alone


def test_a_corridor_of_negative_rewards():
    env = ShortCorridor()
    env.reset(seed=0)
    assert steps_to_goal(env.mdp)[env.state] == 3


@pytest.mark.parametrize("name", ["CliffWalking-v1", "Taxi-v4", "FrozenLake8x8-v1"])
def test_gymnasiums_worlds_have_their_shortest_paths(name):
    env = gym.make(name)
    observation, _ = env.reset(seed=0)
    known = {"CliffWalking-v1": 13, "FrozenLake8x8-v1": 14}
    table = GoalDistance(env)
    distance = table(observation)
    assert distance == known.get(name, distance)
    assert 0 < distance <= table.table.max()


def test_all_goals_of_a_map_count_and_holes_do_not():
    env = GridWorld("G.S....G", step_reward=-1.0, goal_reward=-1.0)
    env.reset(seed=0)
    table = GoalDistance(env)
    table(None)
    assert table.table.tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    unequal = GridWorld("GS...G\n......", step_reward=-1.0)
    unequal.reset(seed=0)
    assert GoalDistance(unequal)(None) == 1
    holes = GridWorld("HS..G", goal_reward=-1.0, hole_reward=-1.0)  # as good as the goal, by reward
    holes.reset(seed=0)
    env = PotentialShaping(holes, "distance", 0.5)
    env.reset(seed=0)
    assert env.step(1)[1] == pytest.approx(-0.01 - 0.5 * 2 + 3)
    assert steps_to_goal(holes.mdp, [4]).tolist() == [4, 3, 2, 1, 0]


def test_a_better_rewarded_goal_does_not_hide_the_nearer_one():
    grid = {"map": ["GS...G"], "rewards": [[5.0, None, None, None, None, 1.0]]}
    env = GridWorld.from_dict(grid)
    env.reset(seed=0)
    assert np.ptp(env.mdp.reward[env.mdp.terminated & (env.mdp.reward != 0)]) == 4.0
    table = GoalDistance(env)
    table(None)
    assert table.table.tolist() == [0, 1, 2, 2, 1, 0]


def test_goals_that_are_no_states():
    with pytest.raises(ValueError, match=r"states 0 \.\. 4, got \[5\]"):
        steps_to_goal(GridWorld("S...G").mdp, [5])
