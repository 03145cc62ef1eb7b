"""GridWorld: exact models against published numbers and Gymnasium's tables, its observations, and how it plays."""

import copy
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_ext.envs import LAYOUTS, GridMap, GridWorld, GridWorldVecEnv, RandomizeDynamics
from sb3_ext.envs.grid.observation import MODES
from sb3_ext.tabular import TabularMDP, policy_evaluation, value_iteration

IDS = ["sb3_ext/GridWorld-v0", *(f"sb3_ext/{name}-v0" for name in LAYOUTS)]
NO_GOAL_MODE = ("CliffWalking", "Example35")  # their rewards do not depend on the cell entered alone


def shortest_path(world):
    """Steps from the start to the goal, by value iteration over -1 a step."""
    mdp = world.mdp
    counting = TabularMDP.from_arrays(mdp.next_state, -1.0, mdp.terminated, mdp.probability, mdp.start)
    return -(mdp.start @ value_iteration(counting, 1.0).values)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("Seeds4x4", 6), ("Obstacles5x5", 8), ("CliffWalking", 13), ("WindyGridWorld", 15), ("WindyKingsMoves", 7),
        ("FourRooms", 20), ("DynaMaze", 14), ("BlockingMaze", 10), ("ShortcutMaze", 16), ("KeyDoor", 10),
    ],
)  # fmt: skip
def test_shortest_paths_are_the_known_ones(name, steps):
    assert shortest_path(GridWorld(name)) == pytest.approx(steps)


@pytest.mark.parametrize(("name", "steps"), [("BlockingMaze", 16), ("ShortcutMaze", 10)])
def test_changed_mazes_have_the_known_shortest_paths(name, steps):
    assert shortest_path(GridWorld(LAYOUTS[name]["change"]["map"], step_reward=-1.0)) == pytest.approx(steps)


def test_example_3_5_has_the_values_of_figure_3_2_and_3_5():
    mdp = GridWorld("Example35").mdp
    random_policy = policy_evaluation(mdp, np.full((25, 4), 0.25), 0.9).values.reshape(5, 5)
    published = [
        [3.3, 8.8, 4.4, 5.3, 1.5],
        [1.5, 3.0, 2.3, 1.9, 0.5],
        [0.1, 0.7, 0.7, 0.4, -0.4],
        [-1.0, -0.4, -0.4, -0.6, -1.2],
        [-1.9, -1.3, -1.2, -1.4, -2.0],
    ]
    np.testing.assert_allclose(random_policy, published, atol=0.05)
    optimal = value_iteration(mdp, 0.9).values.reshape(5, 5)
    published = [
        [22.0, 24.4, 22.0, 19.4, 17.5],
        [19.8, 22.0, 19.8, 17.8, 16.0],
        [17.8, 19.8, 17.8, 16.0, 14.4],
        [16.0, 17.8, 16.0, 14.4, 13.0],
        [14.4, 16.0, 14.4, 13.0, 11.7],
    ]
    np.testing.assert_allclose(optimal, published, atol=0.05)


def as_distribution(mdp, state, action):
    """{(next state, reward, terminated): probability}, equal outcomes put together."""
    outcomes = {}
    for probability, *outcome in mdp.to_P()[state][action]:
        outcomes[tuple(outcome)] = outcomes.get(tuple(outcome), 0.0) + probability
    return outcomes


@pytest.mark.parametrize(
    ("name", "env_id", "action_of", "skipped"),
    [
        ("FrozenLake4x4", "FrozenLake-v1", {0: 3, 1: 2, 2: 1, 3: 0}, ""),  # Gymnasium counts left, down, right, up
        ("CliffWalking", "CliffWalking-v1", {0: 0, 1: 1, 2: 2, 3: 3}, "CG"),  # cells in which nobody ever stands
    ],
)
def test_models_equal_gymnasiums_tables(name, env_id, action_of, skipped):
    world, theirs = GridWorld(name), TabularMDP.from_env(gym.make(env_id))
    np.testing.assert_allclose(world.mdp.start, theirs.start)
    compared = np.flatnonzero(~world.grid_map.mask(skipped))
    assert len(compared) >= 16
    for state in compared.tolist():
        for action, their_action in action_of.items():
            ours = as_distribution(world.mdp, state, action)
            assert ours == pytest.approx(as_distribution(theirs, state, their_action)), (state, action)


def outcomes(world, cell, action, layer=0):
    """Like as_distribution, with cells for states."""
    width, n_cells = world.grid_map.shape[1], world.grid_map.n_cells
    table = as_distribution(world.mdp, cell[0] * width + cell[1] + layer * n_cells, action)
    return {
        (divmod(state % n_cells, width), state // n_cells, reward, ends): probability
        for (state, reward, ends), probability in table.items()
    }


UP, RIGHT, DOWN, LEFT, UP_RIGHT, DOWN_RIGHT = range(6)


def test_slip_goes_to_the_two_sides():
    world = GridWorld(["...", ".S.", "..G"], slip=0.2)
    assert outcomes(world, (1, 1), UP) == pytest.approx(
        {((0, 1), 0, -0.01, False): 0.8, ((1, 0), 0, -0.01, False): 0.1, ((1, 2), 0, -0.01, False): 0.1}
    )
    king = GridWorld(["...", ".S.", "..G"], slip=0.2, king_moves=True, stay=True)
    assert king.action_space.n == 9
    assert outcomes(king, (1, 1), UP_RIGHT) == pytest.approx(
        {((0, 2), 0, -0.01, False): 0.8, ((0, 0), 0, -0.01, False): 0.1, ((2, 2), 0, 1.0, True): 0.1}
    )
    assert outcomes(king, (1, 1), 8) == pytest.approx({((1, 1), 0, -0.01, False): 1.0})


def test_walls_borders_and_bumps():
    world = GridWorld(["S#.", "..G"], bump_reward=-0.5)
    assert outcomes(world, (0, 0), RIGHT) == {((0, 0), 0, -0.5, False): 1.0}
    assert outcomes(world, (0, 0), UP) == {((0, 0), 0, -0.5, False): 1.0}
    assert outcomes(world, (0, 0), DOWN) == {((1, 0), 0, -0.01, False): 1.0}


def test_one_way_cells_are_entered_in_their_direction_only():
    world = GridWorld(["S>G", ".^."], require_goal=False)
    assert outcomes(world, (0, 0), RIGHT) == {((0, 1), 0, -0.01, False): 1.0}
    assert outcomes(world, (1, 1), UP) == {((1, 1), 0, -0.01, False): 1.0}  # (0, 1) is entered to the right only
    assert outcomes(world, (1, 0), RIGHT) == {((1, 0), 0, -0.01, False): 1.0}
    assert outcomes(world, (0, 1), LEFT) == {((0, 0), 0, -0.01, False): 1.0}  # leaving is free


def test_wind_stochastic_wind_and_rewards_of_cells():
    grid_map = GridMap.from_text(["..G", "...", "S.a"], wind=[0, 1, 0], rewards={"a": 7.0})
    world = GridWorld(grid_map, stochastic_wind=True)
    assert outcomes(world, (2, 1), RIGHT) == pytest.approx(
        {((2, 2), 0, 7.0, False): 1 / 3, ((1, 2), 0, -0.01, False): 1 / 3, ((0, 2), 0, 1.0, True): 1 / 3}
    )
    assert outcomes(world, (2, 0), RIGHT) == pytest.approx({((2, 1), 0, -0.01, False): 1.0})  # no wind here: no gusts


def test_key_opens_the_door():
    world = GridWorld(["SKDG"])
    assert outcomes(world, (0, 0), RIGHT) == {((0, 1), 1, -0.01, False): 1.0}
    assert outcomes(world, (0, 1), RIGHT, layer=1) == {((0, 2), 1, -0.01, False): 1.0}
    world = GridWorld(["KSDG"])
    assert outcomes(world, (0, 1), RIGHT) == {((0, 1), 0, -0.01, False): 1.0}
    assert outcomes(world, (0, 1), RIGHT, layer=1) == {((0, 2), 1, -0.01, False): 1.0}
    world.reset(seed=0)
    path = [world.step(action)[0] for action in (LEFT, RIGHT, RIGHT, RIGHT)]
    assert path == [4, 5, 6, 7]
    assert world.agent == ((0, 3), True)


def test_holes_cliffs_and_goals_that_do_not_end():
    world = GridWorld(["HSG"], hole_reward=-3.0)
    assert outcomes(world, (0, 1), LEFT) == {((0, 0), 0, -3.0, True): 1.0}
    world = GridWorld([".SC", "..G"], hole_reward=-3.0, goal_ends=False)
    assert outcomes(world, (0, 1), RIGHT) == {((0, 1), 0, -3.0, False): 1.0}
    assert outcomes(world, (1, 1), RIGHT) == {((1, 2), 0, 1.0, False): 1.0}
    assert outcomes(world, (1, 2), LEFT) == {((1, 1), 0, -0.01, False): 1.0}


@pytest.mark.parametrize("name", ["FrozenLake4x4", "WindyStochastic", "KeyDoor"])
def test_simulated_frequencies_are_the_probabilities(name):
    """Every (state, action, next state) within five standard deviations of its expectation, the impossible never."""
    world = GridWorld(name, slip=0.3)
    mdp, rng = world.mdp, np.random.default_rng(0)
    visits = np.zeros((mdp.n_states, mdp.n_actions))
    counts = np.zeros((mdp.n_states, mdp.n_actions, mdp.n_states))
    state, _ = world.reset(seed=0)
    for action in rng.integers(mdp.n_actions, size=40_000).tolist():
        next_state, _, terminated, _, _ = world.step(action)
        visits[state, action] += 1
        counts[state, action, next_state] += 1
        state = world.reset()[0] if terminated else next_state
    chances = np.zeros_like(counts)
    rows, columns = np.indices(visits.shape)
    for outcome in range(mdp.n_outcomes):
        np.add.at(chances, (rows, columns, mdp.next_state[..., outcome]), mdp.probability[..., outcome])
    chances = chances.clip(0, 1)
    deviation = np.sqrt(visits[..., None] * chances * (1 - chances))
    common = deviation > 2  # where the normal approximation holds
    assert common.sum() > 50
    assert (np.abs(counts - visits[..., None] * chances)[common] <= 5 * deviation[common]).all()
    assert counts[chances == 0].sum() == 0


def test_starts_are_drawn_uniformly():
    world = GridWorld(["S.S", "#G.", "S.."])
    world.reset(seed=0)
    starts = np.bincount([world.reset()[0] for _ in range(3000)], minlength=9)
    assert set(np.flatnonzero(starts)) == {0, 2, 6}
    assert (np.abs(starts[[0, 2, 6]] - 1000) < 5 * np.sqrt(3000 * 2 / 9)).all()
    anywhere = GridWorld(["S.S", "#G.", "H.."], random_start=True)
    assert anywhere.mdp.start.nonzero()[0].tolist() == [0, 1, 2, 5, 7, 8]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", IDS)
def test_both_checkers_pass(env_id, mode):
    if mode == "goal" and any(name in env_id for name in NO_GOAL_MODE):
        with pytest.raises(ValueError, match="choose another observation mode"):
            gym.make(env_id, observation=mode)
        return
    env = gym.make(env_id, observation=mode)
    assert env.spec.max_episode_steps >= 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped)


def test_observations_show_the_state():
    world = GridWorld(["S.D", "KHG"], observation="image")
    image, _ = world.reset(seed=0)
    assert image.shape == (36, 54, 3)
    assert image.dtype == np.uint8
    centres = image[9::18, 9::18]
    assert centres[..., 2].tolist() == [[255, 0, 0], [0, 0, 0]]
    assert centres[..., 0].tolist() == [[0, 0, 192], [0, 128, 0]]
    assert centres[..., 1].tolist() == [[0, 0, 0], [128, 0, 255]]
    after = world.step(DOWN)[0][9::18, 9::18]
    assert after[1, 0].tolist() == [0, 0, 255]
    assert after[0, 2].tolist() == [0, 0, 0]  # the door is open
    coordinates = GridWorld(["S.D", "KHG"], observation="coordinates")
    coordinates.reset(seed=0)
    assert coordinates.step(DOWN)[0].tolist() == [1, 0, 1]
    one_hot = GridWorld(["S.G"], observation="one_hot")
    assert one_hot.reset(seed=0)[0].tolist() == [1, 0, 0]
    goal = GridWorld(["S.", ".G"], observation="goal").reset(seed=0)[0]
    assert {key: value.tolist() for key, value in goal.items()} == {
        "observation": [0, 0], "achieved_goal": [0, 0], "desired_goal": [1, 1],
    }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_observe_says_what_a_state_looks_like(mode):
    env = make_vec_env(lambda: GridWorld("KeyDoor", mode), 2, seed=0)
    env.reset()
    rng, seen = np.random.default_rng(0), {}
    for _ in range(300):
        observations = env.step(rng.integers(4, size=2))[0]
        for index, state in enumerate(env.get_attr("state")):
            seen[state] = {k: v[index] for k, v in observations.items()} if mode == "goal" else observations[index]
    states = sorted(seen)
    assert any(state >= 54 for state in states)  # with the key
    world = GridWorld("KeyDoor", mode)
    observed = world.observe(states)
    for row, state in enumerate(states):
        for key in seen[state] if mode == "goal" else [...]:
            there, expected = (observed[key][row], seen[state][key]) if mode == "goal" else (observed[row], seen[state])
            np.testing.assert_array_equal(there, expected)
    parts = observed.values() if mode == "goal" else [observed]
    before = [part.copy() for part in parts]
    for part in world.observe(states).values() if mode == "goal" else [world.observe(states)]:
        part[:] = 1
    for part, unchanged in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, unchanged)
    assert world.state == -1
    native = GridWorldVecEnv(2, "KeyDoor", observation=mode)
    assert data_equivalence(native.env_method("observe", states, indices=[1])[0], observed)


def test_observe_refuses_what_are_no_states():
    world = GridWorld("Seeds4x4")
    assert world.observe([]).shape == (0,)
    with pytest.raises(ValueError, match="the states are 0 to 15, got 16"):
        world.observe([0, 16])
    with pytest.raises(ValueError, match="the states are 0 to 15, got -1"):
        world.observe(np.array([-1]))
    with pytest.raises(ValueError, match=r"observe needs integers \[n\], got float64 \[1\]"):
        world.observe([0.5])
    with pytest.raises(ValueError, match=r"observe needs integers \[n\], got int64 \[\]"):
        world.observe(3)


def test_rewards_of_the_goal_mode_are_those_of_the_steps():
    grid_map = GridMap.from_text(["S.x", ".HG"], rewards={"x": 0.25})
    given = {"step_reward": -0.01, "goal_reward": 1.0, "hole_reward": -1.0}
    world = GridWorld(grid_map, observation="goal", slip=0.3, **given)
    rng = np.random.default_rng(0)
    world.reset(seed=0)
    seen = set()
    for _ in range(300):
        observation, reward, terminated, _, _ = world.step(rng.integers(4))
        assert reward == world.compute_reward(observation["achieved_goal"], observation["desired_goal"], {})
        seen.add(reward)
        if terminated:
            world.reset()
    assert seen == {-0.01, 0.25, -1.0, 1.0}
    cells = np.array([[0, 0], [1, 1], [1, 2], [0, 1]])
    np.testing.assert_allclose(world.compute_reward(cells, cells[[1, 1, 0, 3]], None), [-0.01, 1.0, -0.01, 1.0])


def test_the_goal_mode_has_rewards_fit_for_her_unless_they_are_given():
    """HerReplayBuffer ends no episode at a goal that it made up: what is above 0 there looks endless."""
    for name in ("FourRooms", "FrozenLake4x4"):
        rules = GridWorld(name, "goal").rules
        assert (rules.step_reward, rules.goal_reward, rules.hole_reward) == (-1.0, 0.0, -100.0)
        assert GridWorld(name, "coordinates").rules.goal_reward == 1.0
    rules = GridWorld("FourRooms", "goal", goal_reward=5.0).rules
    assert (rules.step_reward, rules.goal_reward) == (-1.0, 5.0)
    saved = GridWorld("FourRooms").to_dict()
    assert GridWorld.from_dict(saved, observation="goal").rules.step_reward == 0.0  # it was given
    again = GridWorld.from_dict(GridWorld("KeyDoor", "goal").to_dict(), observation="goal")
    assert again.rules == GridWorld("KeyDoor", "goal").rules


@pytest.mark.slow
def test_dqn_with_hindsight_finds_the_shortest_path():
    env = make_vec_env("sb3_ext/Obstacles5x5-v0", 4, seed=0, env_kwargs={"observation": "goal"})
    model = DQN(
        "MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, learning_starts=1000, train_freq=4,
        gradient_steps=4, target_update_interval=500, learning_rate=1e-3, gamma=0.95, exploration_fraction=0.5,
        exploration_final_eps=0.1, seed=0, device="cpu",
    )  # fmt: skip
    model.learn(10_000)
    assert evaluate_policy(model, env, n_eval_episodes=4) == (-7.0, 0.0)  # 8 steps, the last one free


def test_render_modes():
    world = GridWorld("KeyDoor", render_mode="rgb_array")
    world.reset(seed=0)
    first = world.render()
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    world.step(RIGHT)
    assert not np.array_equal(world.render(), first)
    text = GridWorld("KeyDoor", render_mode="ansi")
    text.reset(seed=0)
    assert "@" in text.render()
    assert "K" in text.render()
    for action in (DOWN, DOWN, DOWN, RIGHT):
        text.step(action)
    assert text.agent == ((4, 2), True)
    assert "K" not in text.render()


def test_time_limits_and_success_are_reported():
    env = gym.make("sb3_ext/Seeds4x4-v0", max_episode_steps=3)
    env.reset(seed=0)
    ends = [env.step(action)[2:] for action in (LEFT, LEFT, LEFT)]
    assert ends == [(False, False, {"is_success": False})] * 2 + [(False, True, {"is_success": False})]
    env = gym.make("sb3_ext/Seeds4x4-v0", max_episode_steps=6)
    env.reset(seed=0)
    for action in (RIGHT, RIGHT, RIGHT, DOWN, DOWN):
        env.step(action)
    assert env.step(DOWN)[1:] == (1.0, True, True, {"is_success": True})  # at the limit, and at the goal


def test_the_layout_is_redrawn_at_each_reset_and_seen_in_the_image():
    world = GridWorld([".........."] * 10, observation="image", redraw_obstacles=20)
    first, _ = world.reset(seed=3)
    second, _ = world.reset()
    assert not np.array_equal(first[..., 0], second[..., 0])
    walls = second[2::4, 2::4, 0] == 255
    np.testing.assert_array_equal(walls, world.grid_map.mask("#"))
    assert walls.sum() == 20
    again = GridWorld([".........."] * 10, observation="image", redraw_obstacles=20)
    np.testing.assert_array_equal(again.reset(seed=3)[0], first)
    np.testing.assert_array_equal(again.reset()[0], second)


def test_the_maze_changes_after_its_steps_and_a_seed_starts_it_anew():
    world = GridWorld("BlockingMaze")
    world.reset(seed=0)
    before = world.grid_map.to_text()
    for _ in range(999):
        world.step(DOWN)
    assert world.grid_map.to_text() == before
    world.reset()
    world.step(DOWN)
    assert world.grid_map.to_text() == "\n".join(LAYOUTS["BlockingMaze"]["change"]["map"])
    world.reset(seed=0)
    assert world.grid_map.to_text() == before


def test_the_change_waits_for_an_agent_in_the_way():
    world = GridWorld(["S.G"], change=(1, ["S#G"]), require_goal=False)
    world.reset(seed=0)
    world.step(RIGHT)
    assert world.grid_map.to_text() == "S.G"
    world.step(LEFT)
    assert world.grid_map.to_text() == "S#G"


def test_the_step_at_which_the_map_changes_is_rewarded_by_the_map_it_was_made_on():
    world = GridWorld(["S..G"], change=(1, GridMap.from_text(["S..G"], rewards={".": -5.0})))
    world.reset(seed=0)
    assert [world.step(RIGHT)[1] for _ in range(2)] == [-0.01, -5.0]
    world = GridWorld(["S.G"], change=(2, ["SG."]))
    world.reset(seed=0)
    world.step(RIGHT)
    assert world.step(RIGHT)[1:] == (1.0, True, False, {"is_success": True})


@pytest.mark.parametrize("later", ["SG.", "SHG"])
def test_the_change_waits_for_an_agent_where_an_end_comes(later):
    world = GridWorld(["S.G"], change=(1, [later]), require_goal=False)
    world.reset(seed=0)
    assert world.step(RIGHT)[1:] == (-0.01, False, False, {"is_success": False})
    assert world.grid_map.to_text() == "S.G"
    assert world.step(LEFT)[1:] == (-0.01, False, False, {"is_success": False})
    assert world.grid_map.to_text() == later
    assert world.step(RIGHT)[2]


def test_random_starts_on_redrawn_maps_have_a_way_to_the_goal():
    world = GridWorld(["S....", ".....", ".....", ".....", "....G"], redraw_obstacles=10, random_start=True)
    starts = set()
    for seed in range(100):
        state, _ = world.reset(seed=seed)
        starts.add(state)
        reached = {state}
        for _ in range(25):
            reached |= {int(near) for cell in reached for near in world.mdp.next_state[cell].ravel()}
        assert 24 in reached, f"seed {seed}: state {state} is walled off"
        assert world.mdp.start.sum() == pytest.approx(1.0)
        assert world.mdp.start[state] > world.mdp.start[24] == 0
    assert len(starts) > 10


def test_wind_is_an_argument():
    world = GridWorld(["....", "S..G"], wind=[0, 1, 0, 0])
    windy = GridWorld(GridMap.from_text(["....", "S..G"], wind=[0, 1, 0, 0]))
    np.testing.assert_array_equal(world.mdp.next_state, windy.mdp.next_state)
    assert GridWorld.from_dict(world.to_dict()).grid_map.wind.tolist() == [[0, 1, 0, 0]] * 2
    made = gym.make("sb3_ext/Seeds4x4-v0", wind=[0, 0, 1, 0])
    drawn = RandomizeDynamics(made, {"wind": [[0, 0, 2, 0], [0, 1, 0, 0]]})
    seen = set()
    for seed in range(20):
        drawn.reset(seed=seed)
        seen.add(tuple(made.unwrapped.grid_map.wind[0].tolist()))
    assert seen == {(0, 0, 2, 0), (0, 1, 0, 0)}
    changing = GridWorld(["S..G"], change=(1, ["S..G"]), wind=2)
    changing.reset(seed=0)
    changing.step(LEFT)
    assert (changing.grid_map.wind == 2).all()


def test_steps_before_reset_and_impossible_actions_are_refused():
    world = GridWorld()
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        world.step(0)
    world.reset(seed=0)
    with pytest.raises(ValueError, match="actions are 0 to 3, got 4"):
        world.step(4)
    with pytest.raises(ValueError, match="got -1"):
        world.step(-1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda world: pickle.loads(pickle.dumps(world))])
def test_copies_go_on_alike_and_apart(duplicate):
    world = GridWorld("FrozenLake4x4", observation="goal")
    world.reset(seed=5)
    other = duplicate(world)
    state = world.state
    mine = [world.step(RIGHT)[1:3] for _ in range(10)]
    assert other.state == state
    assert [other.step(RIGHT)[1:3] for _ in range(10)] == mine


def test_a_million_cells_stay_small():
    world = GridWorld(["S" + "." * 999, *["." * 1000] * 998, "." * 999 + "G"], slip=0.1)
    assert world.mdp.nbytes <= 200e6
    assert world.reset(seed=0)[0] == 0
    assert world.step(RIGHT)[0] in (0, 1, 1000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "policy", "mode", "arguments"),
    [
        (PPO, "MlpPolicy", "index", {"n_steps": 64}),
        (PPO, "CnnPolicy", "image", {"n_steps": 32, "n_epochs": 1}),
        (DQN, "MlpPolicy", "coordinates", {"learning_starts": 50}),
        (DQN, "MlpPolicy", "one_hot", {"learning_starts": 50}),
        (DQN, "MultiInputPolicy", "goal", {"learning_starts": 210, "replay_buffer_class": HerReplayBuffer}),
    ],
)
def test_sb3_trains_saves_and_loads(algorithm, policy, mode, arguments, tmp_path):
    env = make_vec_env("sb3_ext/Obstacles5x5-v0", 2, seed=0, env_kwargs={"observation": mode})
    model = algorithm(policy, env, seed=0, device="cpu", **arguments).learn(300)
    assert model.num_timesteps >= 300
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", env, device="cpu")
    observation = env.reset()
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
    )


@pytest.mark.slow
def test_spawned_workers_agree_with_one_process():
    env_id = "sb3_ext.envs:sb3_ext/FrozenLake4x4-v0"
    dummy = make_vec_env(env_id, 2, seed=7)
    spawned = make_vec_env(env_id, 2, seed=7, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"})
    try:
        np.testing.assert_array_equal(spawned.reset(), dummy.reset())
        for action in np.random.default_rng(0).integers(4, size=(50, 2)):
            for ours, theirs in zip(spawned.step(action)[:3], dummy.step(action)[:3], strict=True):
                np.testing.assert_array_equal(ours, theirs)
    finally:
        spawned.close()
