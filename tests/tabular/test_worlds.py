"""Which environments may be played in place of, and that they are left as if they had been stepped."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv, generate_random_map
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformObservation, TransformReward
from helpers_tabular import RANDOM, WORLDS, build, grid, knowledge, monitored, random_mdp, step_on, tabular, vec, world
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_ext.envs import GridWorld, GridWorldVecEnv
from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.envs.textbook.random_walk import RandomWalk
from sb3_ext.tabular import DynaQ, QLearning, TabularMDP
from sb3_ext.tabular.worlds import find_world

lake = WORLDS["lake"]


class Louder(FrozenLakeEnv):
    """Pays twice."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, 2 * reward, *rest


class LouderTabular(TabularEnv):
    """Pays twice."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, 2 * reward, *rest


class OtherStart(TabularEnv):
    """Starts in state 0."""

    def reset(self, **kwargs):
        super().reset(**kwargs)
        self.state = 0
        return 0, {}


class Slower(GridWorld):
    """Pays half."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward / 2, *rest


class OtherVec(GridWorldVecEnv):
    """Pays twice."""

    def step_wait(self):
        observations, rewards, dones, infos = super().step_wait()
        return observations, 2 * rewards, dones, infos


class OtherAsync(GridWorldVecEnv):
    """Always goes up."""

    def step_async(self, actions):
        super().step_async(np.zeros_like(actions))


class MyLimit(TimeLimit):
    """Pays twice."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, 2 * reward, *rest


class MyMonitor(Monitor):
    """Counts otherwise."""


class MyVecMonitor(VecMonitor):
    """Counts otherwise."""


class MyDummy(DummyVecEnv):
    """Pays twice."""

    def step_wait(self):
        observations, rewards, dones, infos = super().step_wait()
        return observations, 2 * rewards, dones, infos


def patched():
    """An environment whose ``step`` was replaced."""
    env = TabularEnv(RANDOM)
    step = env.step
    env.step = lambda action: (lambda o, r, *rest: (o, 2 * r, *rest))(*step(action))
    return env


def shifted(space_name):
    env = TabularEnv(random_mdp(0, n_states=5))
    n = getattr(env, space_name).n
    setattr(env, space_name, spaces.Discrete(int(n), start=1))
    return env


def fickle():
    env = gym.make("Taxi-v4").env
    env.unwrapped.fickle_passenger = True
    return env


def changing():
    return GridWorld(change=(50, "Obstacles5x5"))


def human():
    env = lake()
    env.unwrapped.render_mode = "human"
    return env


REFUSED = {
    "reward wrapper": (lambda: vec(lambda: TransformReward(lake(), lambda r: 2 * r)), "TransformReward"),
    "observation wrapper": (
        lambda: vec(lambda: TransformObservation(lake(), lambda o: 15 - o, spaces.Discrete(16))),
        "TransformObservation",
    ),
    "statistics": (lambda: vec(lambda: RecordEpisodeStatistics(lake())), "RecordEpisodeStatistics"),
    "another time limit": (lambda: vec(lambda: MyLimit(lake(), 9)), "MyLimit"),
    "another monitor": (lambda: DummyVecEnv([lambda: MyMonitor(lake())]), "MyMonitor"),
    "another VecMonitor": (lambda: MyVecMonitor(vec(lake)), "MyVecMonitor"),
    "another DummyVecEnv": (lambda: MyDummy([lake]), "MyDummy"),
    "two monitors": (lambda: DummyVecEnv([lambda: Monitor(Monitor(lake()))]), "two monitors"),
    "two VecMonitors": (lambda: VecMonitor(VecMonitor(vec(lake))), "VecMonitor"),
    "limit outside": (lambda: DummyVecEnv([lambda: TimeLimit(Monitor(lake()), 9)]), "outside the monitor"),
    "fickle": (lambda: vec(lambda: gym.make("Taxi-v4", fickle_passenger=True)), "fickle_passenger"),
    "one fickle": (lambda: DummyVecEnv([WORLDS["taxi"], lambda: TimeLimit(fickle(), 40)]), "fickle_passenger"),
    "one that changes": (lambda: DummyVecEnv([GridWorld, changing]), "GridWorld is not known"),
    "human": (lambda: vec(human), "shown on a screen"),
    "VecNormalize": (lambda: VecNormalize(vec(lake), norm_obs=False), "VecNormalize"),
    "frame stack": (lambda: VecFrameStack(vec(lambda: GridWorld(observation="image")), 2), "VecFrameStack"),
    "different maps": (
        lambda: DummyVecEnv(
            [lambda s=s: gym.make("FrozenLake-v1", desc=generate_random_map(4, seed=s)) for s in (1, 2)]
        ),
        "differ",
    ),
    "slippery and not": (
        lambda: DummyVecEnv([lake, lambda: gym.make("FrozenLake-v1", is_slippery=False)]),
        "differ",
    ),
    "different grids": (lambda: DummyVecEnv([GridWorld, lambda: GridWorld(slip=0.5)]), "differ"),
    "different classes": (
        lambda: DummyVecEnv([lambda: TabularEnv(RANDOM), lambda: Kept(RANDOM)]),
        "differ",
    ),
    "subclass": (lambda: vec(Louder), "Louder"),
    "subclass of ours": (lambda: vec(lambda: LouderTabular(RANDOM)), "LouderTabular changes what TabularEnv does"),
    "another reset": (lambda: vec(lambda: OtherStart(RANDOM)), "OtherStart"),
    "subclass of the grid": (lambda: vec(Slower), "Slower"),
    "subclass of the batch": (lambda: OtherVec(2, max_episode_steps=9), "OtherVec"),
    "subclass of the batch that acts": (lambda: OtherAsync(2, max_episode_steps=9), "OtherAsync"),
    "patched": (lambda: vec(patched), "step"),
    "drawn maps": (lambda: grid(map=["....", "....", "...."], redraw_obstacles=2), "GridWorld"),
    "changing map": (lambda: grid(map="BlockingMaze"), "GridWorld"),
    "unknown keywords": (
        lambda: DummyVecEnv([lambda: Monitor(lake(), info_keywords=("prob",))]),
        "notes more than the model tells",
    ),
    "reset keywords": (
        lambda: DummyVecEnv([lambda: Monitor(lake(), reset_keywords=("level",), allow_early_resets=True)]),
        "notes more than the model tells",
    ),
    "success that is not told": (
        lambda: DummyVecEnv([lambda: Monitor(lake(), info_keywords=("is_success",))]),
        "notes more than the model tells",
    ),
    "keywords of VecMonitor": (lambda: VecMonitor(vec(lake), info_keywords=("prob",)), "notes more"),
    "states from 1": (lambda: vec(lambda: shifted("observation_space")), "counted from 0"),
    "actions from 1": (lambda: vec(lambda: shifted("action_space")), "counted from 0"),
}


class Kept(TabularEnv):
    """The same under another name."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_more_than_its_model_is_stepped(case):
    make, words = REFUSED[case]
    env = make()
    reason = find_world(env)
    assert isinstance(reason, str), "it was taken for its model"
    assert words in reason


@pytest.mark.parametrize(
    "case", ["reward wrapper", "statistics", "fickle", "VecNormalize", "different maps", "subclass", "subclass of ours"]
)
def test_automatically_and_not_on_request(case):
    make, words = REFUSED[case]
    with pytest.raises(ValueError, match='engine="compiled" cannot be used: ') as error:
        build(QLearning, make(), engine="compiled").learn(10)
    assert words in str(error.value)
    assert 'take engine="auto" or "step"' in str(error.value)
    tables = [build(QLearning, make(), engine=engine).learn(200).policy.q_table for engine in ("auto", "step")]
    assert np.array_equal(*tables)


def test_a_wrapped_reward_is_what_is_learned_from():
    """The trap: the wrapper leaves the model reachable, and the model does not know the wrapper."""
    mdp = TabularMDP.from_arrays([[0]], [[1.0]], [[True]])
    env = vec(lambda: TransformReward(TabularEnv(mdp), lambda reward: 5 * reward))
    assert build(QLearning, env, learning_rate=1.0).learn(10).policy.q_table == 5.0


@pytest.mark.slow
def test_processes_are_stepped():
    env = SubprocVecEnv([lake] * 2, start_method="fork")
    try:
        assert "SubprocVecEnv" in find_world(env)
        processes = build(QLearning, env).learn(300)
        assert np.array_equal(processes.policy.q_table, build(QLearning, vec(lake, 2)).learn(300).policy.q_table)
    finally:
        env.close()


ACCEPTED = {
    **{name: lambda name=name: world(name, 2) for name in [*WORLDS, "native"]},
    "bare": lambda: DummyVecEnv([FrozenLakeEnv] * 2),
    "random walk": lambda: vec(lambda: RandomWalk(9), 2),
    "subclass that changes nothing": lambda: vec(lambda: Kept(RANDOM), 2),
    "seen success": lambda: DummyVecEnv([lambda: Monitor(GridWorld(), info_keywords=("is_success",))] * 2),
    "pictures": lambda: vec(lambda: gym.make("FrozenLake-v1", render_mode="rgb_array"), 2),
    "no checker": lambda: vec(lambda: gym.make("FrozenLake-v1", disable_env_checker=True), 2),
    "two limits": lambda: vec(lambda: TimeLimit(TimeLimit(TabularEnv(RANDOM), 9), 7), 2),
    "different limits": lambda: DummyVecEnv(
        [lambda n=n: Monitor(TimeLimit(TabularEnv(RANDOM), n)) for n in (5, 9)]
    ),
    "a monitor for one": lambda: DummyVecEnv([lambda: Monitor(WORLDS["tabular"]()), WORLDS["tabular"]]),
    "a monitor for the other": lambda: DummyVecEnv([WORLDS["tabular"], lambda: Monitor(WORLDS["tabular"]())]),
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_nothing_but_its_model_is_played(case):
    """And can be stepped on, and gives what it would have given."""
    seen = []
    for engine in ("step", "compiled"):
        env = ACCEPTED[case]()
        model = build(QLearning, env, engine=engine)
        model.learn(333)
        seen.append([knowledge(model), monitored(env), step_on(env, 60), monitored(env)])
        model.learn(100)  # from a reset, which goes on with the same random numbers
        seen[-1] += [knowledge(model), step_on(env, 10)]
    assert seen[0] == seen[1]


def test_the_model_of_a_patched_table_is_the_patched_one():
    """A user may change ``P`` of a toy text: that is what is stepped, and what is played."""

    def rich():
        env = gym.make("FrozenLake-v1")
        table = env.unwrapped.P
        for state, actions in table.items():
            for action, outcomes in actions.items():
                table[state][action] = [(p, s, r + 0.25, ended) for p, s, r, ended in outcomes]
        return env

    seen = [knowledge(build(QLearning, vec(rich, 2), engine=engine).learn(500)) for engine in ("step", "compiled")]
    assert seen[0] == seen[1]


def test_the_layout_of_the_arrays_does_not_depend_on_the_world():
    """Else numba would compile the whole loop again, for half a minute."""
    import numba

    kinds = {str(numba.typeof(find_world(world(name, 2)).world)) for name in [*WORLDS, "native"]}
    assert len(kinds) == 1


def test_rewards_are_those_of_float32():
    """As SB3's environments hand them out: 0.1 is not 0.1."""
    mdp = TabularMDP.from_arrays([[0]], [[0.1]], [[True]])
    for engine in ("step", "compiled"):
        table = build(QLearning, tabular(mdp), learning_rate=1.0, engine=engine).learn(1).policy.q_table
        assert table == float(np.float32(0.1))


def test_many_environments():
    seen = [knowledge(build(DynaQ, world("lake", 40), engine=engine).learn(4000)) for engine in ("step", "compiled")]
    assert seen[0] == seen[1]
