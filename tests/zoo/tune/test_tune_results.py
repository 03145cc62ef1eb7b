"""Intervals, best.yml, search spaces, samplers, storages: the parts, one by one."""

import json
import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from sb3_ext.algos import TABLE
from sb3_ext.zoo.hyperparameters import check_arguments
from sb3_ext.zoo.recipes import Recipe, read_recipe
from sb3_ext.zoo.search_spaces import SEARCH_SPACES
from sb3_ext.zoo.tune import command, reproduce, storage
from sb3_ext.zoo.tune.objective import OBJECTIVES, Task, measure, measure_fresh
from sb3_ext.zoo.tune.report import _finite, summary, write_best
from sb3_ext.zoo.tune.retrain import Candidate, best_trials, interval
from sb3_ext.zoo.tune.study import PRUNERS, SAMPLERS, Recorder, StudyError, make_sampler, open_study, space_of

# ---- Intervals ------------------------------------------------------------------------------------------------------


def test_intervals_by_hand():
    values = [2.0, 4.0, 4.0, 5.0]  # mean 3.75, s = 1.2583, t(0.975, 3) = 3.18245
    assert interval(values) == pytest.approx((3.75 - 2.00227, 3.75 + 2.00227), abs=1e-4)
    half = 3.18245 * 1.258306 * math.sqrt(1 / 4 + 1 / 4)
    assert interval(values, n_new=4) == pytest.approx((3.75 - half, 3.75 + half), abs=1e-4)
    assert interval([1.0], n_new=1) == (-math.inf, math.inf)
    assert interval([1.0, -math.inf], n_new=2) == (-math.inf, math.inf)


def test_a_prediction_interval_holds_the_mean_of_new_trainings_and_a_confidence_interval_does_not():
    generator, n = np.random.default_rng(0), 10
    held = {"prediction": 0, "confidence": 0}
    for _ in range(2000):
        seen, new = generator.normal(size=(2, n))
        low, high = interval(seen.tolist(), n_new=n)
        held["prediction"] += low <= new.mean() <= high
        low, high = interval(seen.tolist())
        held["confidence"] += low <= new.mean() <= high
    assert 0.935 < held["prediction"] / 2000 < 0.965
    assert held["confidence"] / 2000 < 0.88


def test_choosing_the_best_does_not_spoil_the_prediction():
    generator, n, k, held = np.random.default_rng(0), 10, 3, 0
    recipe = Recipe("ppo", 1)
    for _ in range(2000):
        values = generator.normal(size=(k, n))
        winner = Candidate(0, 0.0, {}, recipe, tuple(values[values.mean(axis=1).argmax()].tolist()))
        low, high = winner.prediction(k)
        held += low <= generator.normal(size=n).mean() <= high
    assert held / 2000 > 0.945


def test_the_best_are_complete_different_and_in_order():
    study = optuna.create_study(direction="maximize")
    space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in ("exploration", "lambda_")}
    space["learning_rate"] = optuna.distributions.FloatDistribution(0.005, 1.0, log=True)
    chosen = {
        "schedule": "constant", "visit_power": 0.0, "exploration_schedule": "linear", "gamma": 0.9, "initial_value": 0.0
    }  # fmt: skip
    for name, choice in chosen.items():
        space[name] = optuna.distributions.CategoricalDistribution([choice])
    fixed = {"exploration": 0.1, "learning_rate": 0.5, **chosen}
    for slot, (value, lambda_) in enumerate([(1.0, 0.1), (3.0, 0.2), (3.0, 0.2), (2.0, 0.3), (9.0, 0.4)]):
        state = TrialState.PRUNED if value == 9.0 else TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(
                state=state, value=value, params={**fixed, "lambda_": lambda_}, distributions=space,
                user_attrs={"slot": str(slot)},
            )
        )  # fmt: skip
    task = Task(Recipe("q_learning", 10), "FrozenLake-v1")
    names = [str(slot) for slot in range(5)]
    assert [each.number for each in best_trials(study, names, task, 3)] == [1, 3, 0]
    down = replace(task, objective="steps-to-threshold")
    assert [each.number for each in best_trials(study, names, down, 2)] == [0, 3]


# ---- best.yml and search spaces -------------------------------------------------------------------------------------

TABULAR = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")


def environment_for(algo):
    if algo in TABULAR:
        return "FrozenLake-v1"
    return "Pendulum-v1" if TABLE[algo].actions == "Box" else "CartPole-v1"


def base_recipe(algo, env_id, n_timesteps=None, file=None):
    return read_recipe(algo, env_id, file, n_timesteps, leave_out=SEARCH_SPACES[algo](Recorder()))


def draws(algo, n):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [SEARCH_SPACES[algo](study.ask()) for _ in range(n)]


def test_every_algorithm_has_a_search_space():
    assert set(SEARCH_SPACES) == set(TABLE)


@pytest.mark.parametrize("algo", TABLE)
def test_best_yml_is_read_as_what_it_was_written_from(algo, tmp_path):
    env_id = environment_for(algo)
    task = Task(base_recipe(algo, env_id, 1000), env_id)
    for hyperparams in draws(algo, 20):
        recipe = task.with_hyperparams(hyperparams)
        check_arguments(algo, recipe.hyperparams)  # as sb3-ext train does
        file = write_best(tmp_path / "best.yml", task, Candidate(0, 1.0, hyperparams, recipe))
        assert read_recipe(algo, env_id, file) == recipe


class Highest(Recorder):
    """Draws the other end of every range."""

    def suggest_float(self, name, low, high, **kwargs):
        super().suggest_float(name, low, high, **kwargs)
        return high

    def suggest_int(self, name, low, high, **kwargs):
        super().suggest_int(name, low, high, **kwargs)
        return high

    def suggest_categorical(self, name, choices):
        super().suggest_categorical(name, choices)
        return choices[-1]


@pytest.mark.parametrize("algo", TABLE)
def test_a_search_space_asks_for_the_same_whatever_is_drawn(algo):
    """Else samplers that learn from all trials at once know only what is common to them."""
    highest = Highest()
    SEARCH_SPACES[algo](highest)
    assert highest.space == space_of(SEARCH_SPACES[algo])


SMALL = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "train_freq": 8, "gradient_steps": 1, "learning_starts": 10}


@pytest.mark.parametrize("algo", [algo for algo in TABLE if algo != "ppo_mask"])  # which needs masks
def test_every_algorithm_trains_by_what_its_space_draws(algo):
    env_id = environment_for(algo)
    recipe = base_recipe(algo, env_id, 64)
    recipe = replace(recipe, n_envs=16 if algo == "grpo" else min(recipe.n_envs, 2))
    task = Task(recipe, env_id, eval_episodes=1)
    hyperparams = draws(algo, 1)[0]
    small = {key: SMALL.get(key, value) for key, value in hyperparams.items()}
    assert math.isfinite(measure(task, task.with_hyperparams(small), 0, 0).value)


def test_what_is_not_searched_comes_from_the_file(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text(
        "CartPole-v1:\n  n_timesteps: 1000\n  n_envs: 4\n  policy: MlpPolicy\n  vf_coef: 0.3\n  gamma: 0.5\n"
    )
    recipe = base_recipe("ppo", "CartPole-v1", None, file)
    assert recipe == Recipe("ppo", 1000, 4, None, {"policy": "MlpPolicy", "vf_coef": 0.3})  # gamma is searched
    assert base_recipe("ppo", "CartPole-v1", 77, file).n_timesteps == 77
    with pytest.raises(ValueError, match="has no entry 'Acrobot-v1'; it has CartPole-v1"):
        base_recipe("ppo", "Acrobot-v1", None, file)
    file.write_text("CartPole-v1:\n  n_timesteps: 1000\n  frame_stack: 4\n")
    with pytest.raises(ValueError, match="frame_stack is not supported"):
        base_recipe("ppo", "CartPole-v1", None, file)


def test_an_environment_without_an_entry_gets_a_policy_that_fits():
    assert base_recipe("q_learning", "Taxi-v4", 10).hyperparams["policy"] == "TabularPolicy"
    assert base_recipe("ppo", "sb3_ext/FourRooms-v0", 10).hyperparams["policy"] == "MlpPolicy"


# ---- Studies --------------------------------------------------------------------------------------------------------


def test_a_changed_search_space_is_named():
    memory = optuna.storages.InMemoryStorage()

    def old(trial):
        return {"x": trial.suggest_float("x", 0.0, 1.0), "gone": trial.suggest_int("gone", 1, 2)}

    def new(trial):
        return {"x": trial.suggest_float("x", 0.0, 2.0), "y": trial.suggest_categorical("y", ["a", "b"])}

    open_study(memory, "s", "maximize", {"n_timesteps": 1}, space_of(old))
    open_study(memory, "s", "maximize", {"n_timesteps": 1}, space_of(old))
    with pytest.raises(StudyError) as error:
        open_study(memory, "s", "maximize", {"n_timesteps": 1}, space_of(new))
    assert "search space of gone was" in str(error.value)
    assert "high=1.0" in str(error.value)
    assert "high=2.0" in str(error.value)
    assert "search space of y was absent" in str(error.value)
    assert "--study-name" in str(error.value)


def sampled(name, slot, seed=0, n_known=0):
    """What a sampler draws for a slot, after other trials."""
    space = space_of(SEARCH_SPACES["ppo"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(n_known):
        trial = study.ask()
        SEARCH_SPACES["ppo"](trial)
        study.tell(trial, trial.params["clip_range"])
    study.sampler = make_sampler(name, space, seed, slot, n_startup_trials=3)
    trial = study.ask()
    SEARCH_SPACES["ppo"](trial)
    return trial.params


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_by_the_slot_and_the_seed(name):
    first = sampled(name, 4, n_known=6)
    assert sampled(name, 4, n_known=6) == first
    assert sampled(name, 5, n_known=6) != first
    assert sampled(name, 4, seed=1, n_known=6) != first


def test_quasi_random_points_are_the_sequence_however_they_are_shared_out():
    space = space_of(SEARCH_SPACES["q_learning"])
    points = []
    for slot in (3, 0, 2, 1):  # each by another worker that knows nothing of the others
        sampler, study = make_sampler("qmc", space, 0, slot), optuna.create_study()
        points.append(sampler.sample_relative(study, study.ask(), space)["exploration"])
    quarters = np.floor(4 * np.log(np.array(points) / 0.01) / np.log(100))
    assert sorted(quarters) == [0, 1, 2, 3]


def test_an_unknown_sampler_is_named():
    with pytest.raises(ValueError, match="there is no sampler 'bogo'"):
        make_sampler("bogo", {}, 0, 0)


# ---- Storages -------------------------------------------------------------------------------------------------------


def failing(times, message):
    """A call that fails so many times as a restarting server makes it, then answers."""
    left = [times]

    def call():
        if left[0] > 0:
            left[0] -= 1
            raise optuna.exceptions.StorageInternalError from OperationalError("", {}, Exception(message))
        return "answer"

    return storage._patient(call)


def test_a_call_is_repeated_until_the_server_is_back(monkeypatch):
    pauses = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    assert failing(5, "server closed the connection unexpectedly")() == "answer"
    assert len(pauses) == 5
    assert pauses[-1] > pauses[0]


@pytest.mark.parametrize("message", ["database or disk is full", "attempt to write a readonly database"])
def test_what_repeating_cannot_help_fails_at_once(message):
    with pytest.raises(optuna.exceptions.StorageInternalError):
        failing(1, message)()


def test_patience_ends(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(storage.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    with pytest.raises(optuna.exceptions.StorageInternalError):
        failing(10**6, "server closed the connection")()
    assert storage.PATIENCE <= now[0] < storage.PATIENCE + 10


def test_a_disk_that_is_full_is_said_in_one_line(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    opened = storage.open_storage(url)
    with opened._backend.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    study = optuna.create_study(storage=opened, study_name="s")

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sqlalchemy.event.listen(opened._backend.engine, "connect", limit)
    opened._backend.engine.dispose()
    with pytest.raises(storage.storage_errors()) as error:
        study.set_user_attr("much", "x" * 1_000_000)
    assert storage.explain(error.value, url) == f"storage {url}: database or disk is full"


def test_the_summary_has_no_number_that_json_lacks():
    study = optuna.create_study()
    task = Task(Recipe("ppo", 1), "CartPole-v1")
    one = Candidate(0, 1.0, {}, task.recipe, (1.0,), (1.0,))
    found = _finite(summary(study, ["0"], task, [one]))
    assert found["candidates"][0]["prediction_interval"] == [None, None]


def test_the_command_names_what_there_is():
    """It keeps names of its own, so that --help need not import Optuna."""
    assert command.SAMPLERS == SAMPLERS
    assert command.PRUNERS == PRUNERS
    assert command.OBJECTIVES == OBJECTIVES


@pytest.mark.slow
def test_whether_it_reproduces_is_tried_on_seeds_that_nobody_has_seen(tmp_path):
    small = ["--algo", "q_learning", "-n", "2000", "--n-trials", "2", "--n-seeds", "2", "--retrain-seeds", "3"]
    held = reproduce.holds("FrozenLake-v1", small, tmp_path, 1)
    found = json.loads((tmp_path / "summary.json").read_text())
    best = found["candidates"][0]
    task = Task(**{**found["task"], "recipe": Recipe(**found["task"]["recipe"])})
    values = [measure_fresh(task, Recipe(**best["recipe"]), number).value for number in range(6)]
    assert values[:3] == best["values"]
    assert reproduce.again(found, 1) == pytest.approx(sum(values[3:]) / 3)
    low, high = best["prediction_interval"]
    assert held == (low <= sum(values[3:]) / 3 <= high)
