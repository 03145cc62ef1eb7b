"""The compiled engine against the step engine, bit for bit, in all that a user can see."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from helpers_tabular import (
    EXPLORATIONS,
    RANDOM,
    RATES,
    VARIANTS,
    WORLDS,
    Rows,
    build,
    files,
    knowledge,
    monitored,
    pairs_of_options,
    random_mdp,
    statistics,
    step_on,
    tabular,
    vec,
    world,
)
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular import DynaQ, QLearning
from sb3_ext.tabular.worlds import ExactWorld, find_world

ENGINES = ["step", "compiled"]
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def training(engine, make_env, variant, folder, total=700, **parameters):
    """All that can be seen of a training, and of what the environments give afterwards."""
    cls, options = VARIANTS[variant]
    env, rows = make_env(folder), Rows()
    model = build(cls, env, rows, engine=engine, **options, **parameters)
    assert isinstance(find_world(env), ExactWorld)
    model.learn(total, log_interval=3)
    seen = {"knowledge": knowledge(model), **statistics(model), "monitors": monitored(env), "log": rows.rows}
    seen["files"] = files(folder)
    seen["later"] = step_on(env)
    seen["files later"] = files(folder)
    return seen


def compare(make_env, tmp_path, **kwargs):
    seen = []
    for engine in ENGINES:
        folder = tmp_path / engine
        folder.mkdir()
        seen.append(training(engine, make_env, folder=folder, **kwargs))
    for key, value in seen[0].items():
        assert value == seen[1][key], key
    return seen[0]


# ---- Everything in every world --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "place", "exploration", "rate", "n_envs"),
    pairs_of_options(),
    ids=lambda value: str(value).replace(" ", "_"),
)
def test_both_engines_are_the_same(variant, place, exploration, rate, n_envs, tmp_path):
    seen = compare(
        lambda folder: world(place, n_envs, str(folder)), tmp_path,
        variant=variant, exploration=EXPLORATIONS[exploration], learning_rate=RATES[rate],
    )  # fmt: skip
    assert seen["num_timesteps"] == (700 if n_envs == 1 else 702)
    assert len(seen["log"]) >= 3
    assert "train/td_error" in seen["log"][-1][1]
    assert len(seen["infos"]) == min(seen["episodes"], 100) > 5
    assert bool(seen["successes"]) == (place in ("grid", "native"))
    rows = [row for name in seen["files"] for row in seen["files"][name][1:]]  # the first is the header
    assert len(rows) == seen["episodes"]
    assert np.ptp(seen["knowledge"]["q_tables"]) > 0


def test_the_cases_above_have_every_pair_of_options():
    columns = [*zip(*pairs_of_options(), strict=True)]
    for one, other in [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]:
        wanted = set(itertools.product(set(columns[one]), set(columns[other])))
        missing = wanted - set(zip(columns[one], columns[other], strict=True))
        assert not missing, missing


@pytest.mark.parametrize("place", [*WORLDS, "native"])
def test_the_table_is_another_with_another_seed_and_the_same_with_the_same(place):
    tables = [
        build(QLearning, world(place, 2), seed=seed, engine=engine).learn(3000).policy.q_table
        for seed, engine in [(1, "compiled"), (1, "compiled"), (2, "compiled"), (1, "step")]
    ]
    assert np.array_equal(tables[0], tables[1])
    assert np.array_equal(tables[0], tables[3])
    assert not np.array_equal(tables[0], tables[2])


WRAPPED = {
    "no monitor": lambda folder: DummyVecEnv([lambda: TabularEnv(RANDOM)] * 2),
    "no monitor, time limit": lambda folder: DummyVecEnv([WORLDS["tabular"]] * 2),
    "VecMonitor": lambda folder: VecMonitor(DummyVecEnv([lambda: TabularEnv(RANDOM)] * 2), str(folder / "all")),
    "VecMonitor, time limit": lambda folder: VecMonitor(DummyVecEnv([WORLDS["tabular"]] * 2), str(folder / "all")),
    "both": lambda folder: VecMonitor(vec(WORLDS["lake"], 3, str(folder)), str(folder / "all")),
    "native, no monitor": lambda folder: world("native", 3).venv,
    "slippery cliff": lambda folder: vec(lambda: gym.make(
        "CliffWalking-v1", is_slippery=True, max_episode_steps=30), 2, str(folder)),
    "rainy taxi": lambda folder: vec(lambda: gym.make(
        "Taxi-v4", is_rainy=True, max_episode_steps=30), 1, str(folder)),
    "big lake, often as wished": lambda folder: vec(lambda: gym.make(
        "FrozenLake8x8-v1", success_rate=0.7), 1, str(folder)),
}  # fmt: skip


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("variant", ["Q", "SARSA 3 steps", "MC first visit"])
def test_other_ways_to_wrap(wrapped, variant, tmp_path):
    compare(WRAPPED[wrapped], tmp_path, variant=variant)


@pytest.mark.parametrize("engines", list(itertools.product(ENGINES, repeat=3))[1:], ids="-".join)
@pytest.mark.parametrize("wrapped", ["VecMonitor", "no monitor", "native, no monitor", "both"])
def test_the_engine_may_change_between_parts_however_it_is_wrapped(wrapped, engines, tmp_path):
    seen = [in_parts(each, "SARSA", lambda: WRAPPED[wrapped](tmp_path)) for each in (engines, ("step",) * 3)]
    assert seen[0] == seen[1]


def in_parts(engines, variant, make_env):
    cls, options = VARIANTS[variant]
    env, rows = make_env(), Rows()
    model = build(cls, env, rows, exploration=EXPLORATIONS["epsilon"], **options)
    for engine in engines:
        model.engine = engine
        model.learn(205, reset_num_timesteps=False, log_interval=2)
    return [knowledge(model), statistics(model), monitored(env), rows.rows, step_on(env)]


@every_variant
@pytest.mark.parametrize("place", ["lake", "tabular", "native"])
def test_the_engine_may_change_between_parts(variant, place):
    """In the midst of episodes: traces, steps that wait for their return and SARSA's next action go on."""
    expected = in_parts(("step",) * 3, variant, lambda: world(place, 2))
    for engines in [("compiled",) * 3, ("step", "compiled", "step"), ("compiled", "step", "compiled")]:
        assert in_parts(engines, variant, lambda: world(place, 2)) == expected, engines


@every_variant
def test_a_second_training_from_the_start(variant):
    cls, options = VARIANTS[variant]
    seen = []
    for engine in ENGINES:
        env, rows = world("lake", 2), Rows()
        model = build(cls, env, rows, engine=engine, **options)
        for _ in range(2):
            model.learn(301, log_interval=2)
        seen.append([knowledge(model), statistics(model), monitored(env), rows.rows, step_on(env)])
    assert seen[0] == seen[1]
    assert seen[0][1]["num_timesteps"] == 302


@pytest.mark.parametrize("engine", ENGINES)
@every_variant
def test_gamma_of_one_and_of_zero(engine, variant):
    """Nothing is looked up nor drawn where nothing follows; the engines agree."""
    cls, options = VARIANTS[variant]
    for gamma in (0.0, 1.0):
        models = [build(cls, world("lake", 2), gamma=gamma, engine=each, **options) for each in (engine, "step")]
        tables = [knowledge(model.learn(500)) for model in models]
        assert tables[0] == tables[1]


def test_a_schedule_that_only_python_can_call_is_a_linear_one_bit_for_bit():
    """In the step engine; in the second training it begins anew."""
    from stable_baselines3.common.utils import LinearSchedule

    linear = LinearSchedule(0.5, 0.1, 0.6)
    models = [build(QLearning, world("lake", 2), learning_rate=rate) for rate in (linear, lambda left: linear(left))]
    for _ in range(2):
        for model in models:
            model.learn(500)
        assert knowledge(models[0]) == knowledge(models[1])


@pytest.mark.parametrize("n_envs", [1, 3])
def test_longer_trainings_than_the_engine_plays_at_once(n_envs):
    """More episodes than a world can report at once: 20,000 and more."""
    mdp = random_mdp(3, p_end=0.8)
    seen = []
    for engine in ENGINES:
        env = tabular(mdp, 9, n_envs)
        model = build(QLearning, env, engine=engine).learn(30_000)
        seen.append([knowledge(model), statistics(model), monitored(env)])
    assert seen[0] == seen[1]
    assert seen[0][1]["episodes"] > 16_384


# ---- The source, uncompiled -----------------------------------------------------------------------------------------

SCRIPT = """
import sys, pickle, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's numbers warn where they wrap, as they should
import numba
from test_engines import uncompiled
assert bool(numba.config.DISABLE_JIT) == (sys.argv[2] == "plain")
sys.stdout.buffer.write(pickle.dumps(uncompiled()))
"""


def uncompiled():
    """Tables of all algorithms with all explorations, by the compiled engine's loop."""
    found = {}
    for (variant, (cls, options)), (name, exploration) in itertools.product(VARIANTS.items(), EXPLORATIONS.items()):
        place = "native" if name == "ucb" else "tabular"
        model = build(cls, world(place, 2), exploration=exploration, learning_rate="lin_1/N^0.5", engine="compiled",
                      **options)  # fmt: skip
        found[variant, name] = knowledge(model.learn(1200))
    return found


@pytest.mark.slow
def test_the_source_uncompiled_learns_the_same_table():
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), "plain"], env=env, capture_output=True, timeout=500
    )
    assert done.returncode == 0, done.stderr.decode()
    plain, compiled = pickle.loads(done.stdout), uncompiled()
    assert plain.keys() == compiled.keys()
    for key, value in compiled.items():
        assert plain[key] == value, key


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted():
    """Ctrl-C a moment later. Tells when it was pressed."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = []

    def press():
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    yield lambda: (timer.start(), pressed)[1]
    timer.cancel()
    timer.join()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("variant", ["Q", "SARSA", "MC first visit", "Dyna-Q"])
@pytest.mark.parametrize("place", ["lake", "native"])
def test_an_interruption_leaves_a_usable_model(variant, place, interrupted, tmp_path):
    cls, options = VARIANTS[variant]
    env = world(place, 2, str(tmp_path))
    model = build(cls, env, engine="compiled", **options).learn(100)
    pressed = interrupted()
    with pytest.raises(KeyboardInterrupt):
        model.learn(10**9)
    assert time.monotonic() - pressed[0] < 1.0
    assert 0 < model.num_timesteps < 10**9
    assert model.num_timesteps == model.policy.arrays()["clock"][0]
    assert model._last_obs.tolist() == find_world_states(env)
    n_rows = sum(len(rows) - 1 for rows in files_of(tmp_path))
    if place == "lake":
        assert sum(single.total_steps for single in env.envs) == model.num_timesteps + 100
        assert sum(len(single.episode_lengths) for single in env.envs) == n_rows
        assert sum(sum(single.episode_lengths) + len(single.rewards) for single in env.envs) >= model.num_timesteps
    model.predict(model._last_obs)
    model.save(tmp_path / "model")
    table = cls.load(tmp_path / "model").policy.q_table
    assert np.array_equal(table, model.policy.q_table)


def files_of(folder):
    return list(files(folder).values())


def find_world_states(env):
    found = find_world(env)
    found.read()
    return found.world.states.tolist()


@pytest.mark.parametrize("place", ["lake", "grid", "tabular"])
def test_after_an_interruption_both_engines_go_on_alike(place, interrupted):
    env = world(place, 2)
    model = build(QLearning, env, engine="compiled")
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        model.learn(10**9)
    copies = [pickle.loads(pickle.dumps(model)) for _ in ENGINES]
    for engine, copy in zip(ENGINES, copies, strict=True):
        copy.engine = engine
        copy.learn(2000, reset_num_timesteps=False, log_interval=3)
    assert knowledge(copies[0]) == knowledge(copies[1])
    assert statistics(copies[0]) == statistics(copies[1])


def test_a_world_without_ends_is_interrupted_as_well(interrupted):
    model = build(DynaQ, tabular(random_mdp(0, p_end=0.0)), engine="compiled", planning_steps=50)
    pressed = interrupted()
    with pytest.raises(KeyboardInterrupt):
        model.learn(10**9)
    assert time.monotonic() - pressed[0] < 1.0
