"""Carry: its rules by hand, its model against the rules written out slowly, and its optimum."""

import numpy as np
import pytest
from helpers_multi import check_api, target

from sb3_ext.envs.multi.carry import TWO_WAYS, Carry
from sb3_ext.tabular import TabularMDP, value_iteration

UP, RIGHT, DOWN, LEFT, STAY = range(5)
SMALL = ["..G..", "#....", "SBS.."]
ROOM = ["..G.", "....", "SB.S"]


def together(env, *moves):
    """Steps with the two actions of each pair; gives the last step."""
    return [env.step({"carrier_0": first, "carrier_1": second}) for first, second in moves][-1]


def state_of(env, held, first, second):
    """The number of a joint state, from (row, column) of both."""
    height, width = env.grid_map.shape
    cells = [row * width + column for row, column in (first, second)]
    return (held * height * width + cells[0]) * height * width + cells[1]


def slow_step(rows, state, actions, strain_reward):
    """The docstring's rules, one case after the other: (held, place_0, place_1) -> state, reward, terminated."""
    held, *places = state
    if held:
        box = (places[0][0], (places[0][1] + places[1][1]) // 2)
        strain = strain_reward if actions[0] != actions[1] else 0.0
        body = [*places, box]
        moved = [target(rows, place, actions[0], "#") for place in body]
        if actions[0] != actions[1] or any(new == old for new, old in zip(moved, body, strict=True)):
            return state, -0.01 + strain, False
        delivered = rows[moved[2][0]][moved[2][1]] == "G"
        return (1, *moved[:2]), 1.0 if delivered else -0.01, delivered
    wanted = [target(rows, place, action, "#B") for place, action in zip(places, actions, strict=True)]
    after = []
    for i in (0, 1):
        in_the_way = wanted[i] in (places[1 - i], wanted[1 - i])
        after.append(places[i] if in_the_way else wanted[i])
    row = next(i for i, text in enumerate(rows) if "B" in text)
    column = rows[row].index("B")
    return (int({(row, column - 1), (row, column + 1)} == set(after)), *after), -0.01, False


@pytest.mark.parametrize("random_start", [False, True])
def test_pettingzoos_api_tests(random_start):
    check_api(lambda: Carry(max_steps=20, random_start=random_start))
    check_api(lambda: Carry(SMALL, render_mode="rgb_array"))


@pytest.mark.parametrize("rows", [SMALL, ROOM], ids=["small", "room"])
@pytest.mark.parametrize("strain_reward", [0.0, -0.1])
def test_every_joint_action_in_every_joint_state_does_what_the_rules_say(rows, strain_reward):
    env = Carry(rows, strain_reward)
    n_cells, width = env.grid_map.n_cells, env.grid_map.shape[1]
    n_checked = 0
    for state in range(env.mdp.n_states):
        if env.mdp.terminated[state].all():
            continue
        held, first, second = (int(part) for part in np.unravel_index(state, (2, n_cells, n_cells)))
        before = (held, divmod(first, width), divmod(second, width))
        for joint in range(25):
            observations, _ = env.reset(options={"state": state})
            assert observations["carrier_0"] == state
            actions = env.separate_actions(joint)
            observations, rewards, terminated, _, infos = env.step(actions)
            after, reward, ends = slow_step(rows, before, list(actions.values()), strain_reward)
            assert set(observations.values()) == {state_of(env, *after)}
            assert rewards == pytest.approx({"carrier_0": reward, "carrier_1": reward})
            assert set(terminated.values()) == {ends}
            assert infos["carrier_0"]["is_success"] is ends
            n_checked += 1
    assert n_checked > 25 * n_cells


def reachable(rows):
    """All joint states that the slow rules reach from the start, and those in which they end."""
    starts = [(row, column) for row, text in enumerate(rows) for column, letter in enumerate(text) if letter == "S"]
    box = next((row, text.index("B")) for row, text in enumerate(rows) if "B" in text)
    held = {(box[0], box[1] - 1), (box[0], box[1] + 1)} == set(starts)
    seen, waiting = set(), [(int(held), *starts)]
    while waiting:
        state = waiting.pop()
        if state not in seen:
            seen.add(state)
            steps = [slow_step(rows, state, [joint // 5, joint % 5], 0.0) for joint in range(25)]
            waiting += [after for after, _, terminated in steps if not terminated]
    return seen


@pytest.mark.parametrize("rows", [SMALL, ROOM], ids=["small", "room"])
def test_every_state_that_play_reaches_is_one_in_which_the_game_goes_on(rows):
    env = Carry(rows)
    states = [state_of(env, *state) for state in reachable(rows)]
    assert len(states) >= 6
    assert not env.mdp.terminated[states].all(axis=(1, 2)).any()


def test_holding_and_carrying_by_hand():
    env = Carry(["....", "SB.S", "..G."])
    env.reset()
    _, rewards, *_ = together(env, (STAY, LEFT))  # carrier_1 reaches the right handle
    assert env.state_index == state_of(env, 1, (1, 0), (1, 2))
    together(env, (UP, DOWN))  # they disagree
    together(env, (LEFT, LEFT))  # the border
    assert env.state_index == state_of(env, 1, (1, 0), (1, 2))
    together(env, (RIGHT, RIGHT))
    assert env.state_index == state_of(env, 1, (1, 1), (1, 3))
    assert rewards == {"carrier_0": -0.01, "carrier_1": -0.01}
    observations, rewards, terminated, truncated, infos = together(env, (DOWN, DOWN))
    assert rewards == {"carrier_0": 1.0, "carrier_1": 1.0}
    assert all(terminated.values())
    assert not any(truncated.values())
    assert infos == {"carrier_0": {"is_success": True}, "carrier_1": {"is_success": True}}
    assert set(observations.values()) == {state_of(env, 1, (2, 1), (2, 3))}
    assert env.agents == []
    with pytest.raises(RuntimeError, match="call reset"):
        together(env, (STAY, STAY))


def test_a_time_limit_truncates():
    env = Carry(max_steps=2)
    env.reset()
    assert not any(together(env, (STAY, STAY))[3].values())
    _, _, terminated, truncated, _ = together(env, (STAY, STAY))
    assert all(truncated.values())
    assert not any(terminated.values())
    assert env.agents == []


def test_an_end_at_the_time_limit_is_an_end():
    env = Carry(["SBS", ".G."], max_steps=1)
    env.reset()
    _, _, terminated, truncated, _ = together(env, (DOWN, DOWN))
    assert all(terminated.values())
    assert not any(truncated.values())


@pytest.mark.parametrize("strain_reward", [0.0, -0.1])
def test_the_joint_optimum(strain_reward):
    """Two steps to the handles, seven with the box: eight times -0.01, then 1. Strain does not concern who agrees."""
    env = Carry(TWO_WAYS, strain_reward)
    assert TabularMDP.from_env(env) is env.mdp
    solution = value_iteration(env.mdp, gamma=1.0)
    observations, _ = env.reset()
    assert solution.values[observations["carrier_0"]] == pytest.approx(0.92)
    total, n_steps = 0.0, 0
    while env.agents:
        joint = solution.policy[observations["carrier_0"]]
        observations, rewards, *_ = env.step(env.separate_actions(joint))
        total, n_steps = total + rewards["carrier_1"], n_steps + 1
    assert (total, n_steps) == (pytest.approx(0.92), 9)


def test_there_are_two_ways_and_they_must_agree():
    """Left and right are equally good in the middle, and one of each is not."""
    env = Carry()
    q_values = value_iteration(env.mdp, gamma=0.99).q_values[state_of(env, 1, (2, 2), (2, 4))]
    best = q_values.max()
    agreed = [env.joint_action({"carrier_0": move, "carrier_1": move}) for move in (LEFT, RIGHT)]
    split = env.joint_action({"carrier_0": LEFT, "carrier_1": RIGHT})
    assert np.flatnonzero(q_values > best - 1e-9).tolist() == sorted(agreed)
    assert q_values[split] < best - 0.01


def test_random_starts_are_all_states_that_go_on():
    env = Carry(ROOM, random_start=True)
    env.reset(seed=0)
    goes_on = ~env.mdp.terminated.all(axis=(1, 2))
    np.testing.assert_allclose(env.mdp.start[goes_on], 1 / goes_on.sum())
    seen = {int(env.reset()[0]["carrier_0"]) for _ in range(300)}
    assert len(seen) > 50
    assert goes_on[list(seen)].all()
    assert not goes_on[state_of(env, 0, (2, 2), (2, 0))]  # at the handles they hold it
    assert goes_on[state_of(env, 1, (2, 2), (2, 0))]


def test_the_same_seed_gives_the_same_starts():
    first, second = Carry(random_start=True), Carry(random_start=True)
    starts = [[env.reset(seed=5 if i == 0 else None)[0] for i in range(5)] for env in (first, second)]
    assert starts[0] == starts[1]
    assert len({int(start["carrier_0"]) for start in starts[0]}) > 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["SB..", "..G."], "needs two starts 'S', it has 1"),
        (["SBSS", "..G."], "needs two starts 'S', it has 3"),
        (["S.S.", "..G."], "needs one box 'B', it has 0"),
        (["SBSB", "..G."], "needs one box 'B', it has 2"),
        (["SBS.", "...."], "needs a goal 'G'"),
        (["BS.S", "..G."], r"cell \(0, 0\): the box needs a free cell on its left"),
        (["S#B.", "..GS"], r"cell \(0, 2\): the box needs a free cell on its left"),
        (["SRBS", "..G."], r"cell \(0, 1\): 'R' has no meaning"),
        (["SBS.", "...G"], "on this map the game can never end: the box, .* reaches no goal"),
        (["S#.B.", "##S..", "..G.."], "on this map the game can never end"),
        (["." * 299, "SBSG" + "." * 295], "do not fit into a table"),
    ],
    ids=[
        "one S",
        "three S",
        "no B",
        "two B",
        "no G",
        "border",
        "wall",
        "letter",
        "goal aside",
        "locked in",
        "too large",
    ],
)
def test_impossible_maps(rows, message):
    with pytest.raises(ValueError, match=message):
        Carry(rows)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_steps": 0}, "max_steps must be a whole number from 1, got 0"),
        ({"max_steps": 1.5}, "max_steps must be a whole number from 1, got 1.5"),
        ({"max_steps": True}, "max_steps must be a whole number from 1, got True"),
        ({"render_mode": "text"}, "render_mode must be one of .*, got 'text'"),
        ({"strain_reward": float("nan")}, "strain_reward must be a finite number, got nan"),
        ({"strain_reward": "low"}, "strain_reward must be a finite number, got 'low'"),
    ],
    ids=["no steps", "half steps", "true", "mode", "nan", "text"],
)
def test_impossible_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Carry(**kwargs)
