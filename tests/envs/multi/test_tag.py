"""Tag: its rules by hand, and its model against the rules written out slowly."""

from itertools import product

import numpy as np
import pytest
from helpers_multi import check_api, target

from sb3_ext.envs.multi.tag import Tag

UP, RIGHT, DOWN, LEFT, STAY = range(5)
RING = ["S..", ".#.", "..R"]
TWO_CHASERS = ["S.", ".S", "R#"]


def slow_outcome(rows, places, actions, stumbles):
    """The docstring's rules, one case after the other: places of all, the runner's last -> places, caught."""
    wanted = [target(rows, place, action, "#") for place, action in zip(places, actions, strict=True)]
    *chasers, runner = places
    *wishes, flight = wanted
    if stumbles:
        flight = runner
    after = []
    for i, wish in enumerate(wishes):
        others = [*chasers[:i], *chasers[i + 1 :], *wishes[:i], *wishes[i + 1 :]]
        after.append(chasers[i] if wish in others else wish)
    met = flight in after
    changed_places = any(new == runner and flight == old for old, new in zip(chasers, after, strict=True))
    return [*after, flight], met or changed_places


@pytest.mark.parametrize("rows", [RING, TWO_CHASERS], ids=["one chaser", "two chasers"])
@pytest.mark.parametrize("random_start", [False, True])
def test_pettingzoos_api_tests(rows, random_start):
    check_api(lambda: Tag(rows, random_start=random_start, max_steps=20))


@pytest.mark.parametrize("rows", [RING, TWO_CHASERS], ids=["one chaser", "two chasers"])
@pytest.mark.parametrize("stumble", [0.0, 0.2, 1.0])
def test_the_model_is_what_the_rules_say(rows, stumble):
    env = Tag(rows, stumble)
    n_agents, n_cells, width = len(env.possible_agents), env.grid_map.n_cells, env.grid_map.shape[1]
    shape = (n_cells,) * n_agents
    table, n_checked = env.mdp.to_P(), 0
    for state in range(env.mdp.n_states):
        places = [divmod(int(cell), width) for cell in np.unravel_index(state, shape)]
        open_ = all(rows[row][column] != "#" for row, column in places)
        goes_on = open_ and len(set(places)) == n_agents
        assert env.mdp.terminated[state].all() or goes_on
        for joint, actions in enumerate(product(range(5), repeat=n_agents) if goes_on else []):
            expected: dict[tuple, float] = {}
            for stumbles, probability in ((False, 1 - stumble), (True, stumble)):
                after, caught = slow_outcome(rows, places, actions, stumbles)
                cells = [row * width + column for row, column in after]
                key = (int(np.ravel_multi_index(cells, shape)), float(caught), caught)
                expected[key] = expected.get(key, 0.0) + probability
            found: dict[tuple, float] = {}
            for probability, next_state, reward, terminated in table[state][joint]:
                key = (next_state, reward, terminated)
                found[key] = found.get(key, 0.0) + probability
            assert found == pytest.approx({key: share for key, share in expected.items() if share > 0})
            n_checked += 1
    assert n_checked >= 24 * 5**n_agents


def test_every_joint_action_in_every_joint_state_does_what_the_model_says():
    env = Tag(RING, stumble=0.0)
    mdp = env.mdp
    for state in np.flatnonzero(~mdp.terminated.all(axis=(1, 2))):
        for joint in range(25):
            env.reset(options={"state": int(state)})
            observations, rewards, terminated, _, infos = env.step(env.separate_actions(joint))
            assert set(observations.values()) == {mdp.next_state[state, joint, 0]}
            reward = mdp.reward[state, joint, 0]
            assert rewards == {"chaser_0": reward, "runner_0": -reward}
            assert set(terminated.values()) == {mdp.terminated[state, joint, 0]}
            assert infos == {"chaser_0": {"is_success": reward == 1.0}, "runner_0": {"is_success": False}}


@pytest.mark.parametrize(
    ("actions", "caught"),
    [
        ((RIGHT, RIGHT), False),
        ((RIGHT, STAY), True),
        ((RIGHT, LEFT), True),
        ((STAY, LEFT), True),
        ((STAY, STAY), False),
        ((LEFT, RIGHT), False),
    ],
    ids=["runs away", "is reached", "would change places", "runs into the chaser", "nobody moves", "they part"],
)
def test_who_is_caught(actions, caught):
    env = Tag(["SR."], stumble=0.0)
    env.reset()
    _, rewards, terminated, truncated, _ = env.step({"chaser_0": actions[0], "runner_0": actions[1]})
    assert set(terminated.values()) == {caught}
    assert not any(truncated.values())
    assert rewards == {"chaser_0": float(caught), "runner_0": -float(caught)}


def test_the_runner_stumbles_as_often_as_it_should():
    env = Tag([".R...S"], stumble=0.3)
    env.reset(seed=0)
    start, n_stumbled = env.state_index, 0
    for _ in range(2000):
        env.reset()
        env.step({"chaser_0": STAY, "runner_0": LEFT})
        n_stumbled += env.state_index == start
    assert n_stumbled / 2000 == pytest.approx(0.3, abs=0.04)


def test_the_same_seed_gives_the_same_chase():
    def chase(seed):
        env = Tag(random_start=True, stumble=0.5, max_steps=30)
        states = [int(env.reset(seed=seed)[0]["runner_0"])]
        for _ in range(100):
            if not env.agents:
                env.reset()
            env.step({"chaser_0": STAY, "runner_0": RIGHT})
            states.append(env.state_index)
        return states

    assert chase(3) == chase(3)
    assert chase(3) != chase(4)


def test_a_time_limit_truncates():
    env = Tag(stumble=0.0, max_steps=2)
    env.reset()
    for is_last in (False, True):
        _, rewards, terminated, truncated, _ = env.step({"chaser_0": STAY, "runner_0": STAY})
        assert set(truncated.values()) == {is_last}
        assert not any(terminated.values())
        assert set(rewards.values()) == {0.0}


def test_all_states_that_go_on_are_possible_starts():
    env = Tag(TWO_CHASERS, random_start=True)
    assert np.count_nonzero(env.mdp.start) == 5 * 4 * 3  # three places among five cells, all different


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["S..", "..."], "needs one runner 'R', it has 0"),
        (["SR.", "..R"], "needs one runner 'R', it has 2"),
        (["...", "..R"], "needs a chaser 'S', or several"),
        (["S#R"], "on this map the game can never end: no chaser can reach the runner"),
        (["SG.", "..R"], r"cell \(0, 1\): 'G' has no meaning"),
        (["SB.", "..R"], r"cell \(0, 1\): 'B' has no meaning"),
        (["SSSS.", "....R"], "5 agents on this map .* do not fit into a table; take a smaller map or fewer agents"),
    ],
    ids=["no runner", "two runners", "no chaser", "apart", "goal", "letter", "too many"],
)
def test_impossible_maps(rows, message):
    with pytest.raises(ValueError, match=message):
        Tag(rows)


@pytest.mark.parametrize("stumble", [-0.1, 1.1, float("nan"), "often"])
def test_impossible_probabilities(stumble):
    with pytest.raises(ValueError, match="stumble is a probability, from 0 to 1, got"):
        Tag(stumble=stumble)
