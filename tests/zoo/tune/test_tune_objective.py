"""What a trial is worth: seeds, pruning between them, what prunes and what is an error."""

import importlib
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.training import EVALUATION_SEED, SPACING, TIME_LIMIT, train
from sb3_ext.zoo.tune import command, objective
from sb3_ext.zoo.tune.objective import FRESH, NonFinite, Outcome, Task, measure, run_trial
from sb3_ext.zoo.tune.study import make_pruner

TABLE = Recipe("q_learning", 500, hyperparams={"policy": "TabularPolicy"})
TASK = Task(TABLE, "FrozenLake-v1", n_seeds=4)


def study_with(pruner, monkeypatch, values_by_trial):
    """A study whose trainings are worth these values, by trial and seed."""
    calls = []

    def measured(task, recipe, seed, evaluation):
        calls.append((seed, evaluation))
        value = values_by_trial[len(study.trials) - 1][(seed - task.seed) // SPACING]
        if isinstance(value, Exception):
            raise value
        return Outcome(value, value, [value])

    monkeypatch.setattr(objective, "measure", measured)
    study = optuna.create_study(study_name=pruner, direction="maximize", pruner=make_pruner(pruner, TASK.n_seeds))
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    return study, calls


def test_every_trial_has_the_same_seeds_and_the_same_episodes(monkeypatch):
    study, calls = study_with("none", monkeypatch, [[1.0, 2.0, 3.0, 6.0]] * 2)
    study.optimize(lambda trial: run_trial(trial, replace(TASK, seed=7)), 2)
    assert calls == [(7, 0), (1007, 0), (2007, 0), (3007, 0)] * 2
    assert [trial.value for trial in study.trials] == [3.0, 3.0]
    assert study.trials[0].user_attrs["values"] == [1.0, 2.0, 3.0, 6.0]


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_a_bad_trial_is_pruned_before_its_last_seed(monkeypatch, pruner):
    study, calls = study_with(pruner, monkeypatch, [[1.0] * 4] * 16 + [[-1.0] * 4] * 12)
    study.optimize(lambda trial: run_trial(trial, TASK), 28)
    bad = study.trials[
        16:
    ]  # Hyperband's brackets come from a hash of the study's name, and the last of them never prunes
    assert TrialState.PRUNED in [trial.state for trial in bad]
    assert len(calls) < 28 * 4
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_trial_with_all_its_seeds_is_complete_however_bad(monkeypatch):
    study, _ = study_with("median", monkeypatch, [[1.0] * 4] * 8 + [[1.0, 1.0, 1.0, -9.0]])
    study.optimize(lambda trial: run_trial(trial, TASK), 9)
    assert study.trials[-1].state == TrialState.COMPLETE
    assert study.trials[-1].value == -1.5


def test_wilcoxon_compares_seed_by_seed_and_the_others_running_means(monkeypatch):
    values = [[1.0, 3.0, 5.0, 7.0]]
    for pruner, reported in (("wilcoxon", [1.0, 3.0, 5.0, 7.0]), ("median", [1.0, 2.0, 3.0, 4.0])):
        study, _ = study_with(pruner, monkeypatch, values)
        study.optimize(lambda trial: run_trial(trial, TASK), 1)
        assert list(study.trials[0].intermediate_values.values()) == reported


def test_wilcoxon_prunes_what_is_worse_on_every_seed(monkeypatch):
    task = replace(TASK, n_seeds=6)
    values = [[10.0, 12.0, 11.0, 13.0, 10.0, 12.0], [9.0, 10.0, 8.0, 9.0, 9.0, 9.0]]
    study, calls = study_with("wilcoxon", monkeypatch, values)
    study.optimize(lambda trial: run_trial(trial, task), 2)
    assert study.trials[1].state == TrialState.PRUNED
    assert len(calls) == 6 + 4  # four seeds are the fewest that can convince it


def test_only_what_is_not_finite_prunes(monkeypatch):
    study, _ = study_with("none", monkeypatch, [[1.0, NonFinite("NaN")], [1.0, ValueError("a bug")]])
    study.optimize(lambda trial: run_trial(trial, TASK), 1)
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].user_attrs["non_finite"] == "NaN"
    with pytest.raises(ValueError, match="a bug"):
        study.optimize(lambda trial: run_trial(trial, TASK), 1)


# ---- One training ---------------------------------------------------------------------------------------------------


def test_the_same_seed_and_episodes_give_the_same_value_and_others_another():
    task = replace(TASK, recipe=replace(TABLE, n_timesteps=20_000), eval_episodes=50)
    values = [measure(task, task.recipe, seed, evaluation).value for seed, evaluation in ((0, 0), (0, 0), (0, 5_000))]
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_trainings_fresh_trainings_and_evaluations_share_no_seed():
    largest, seeds, environments = command.LARGEST_SEED, 100, SPACING
    trials_end = largest + SPACING * (seeds - 1) + environments
    assert trials_end <= FRESH
    assert largest + FRESH + SPACING * (seeds - 1) + environments <= EVALUATION_SEED


@pytest.mark.parametrize("algo", ["q_learning", "reinforce"])
@pytest.mark.parametrize("name", ["best", "auc", "steps-to-threshold"])
def test_it_is_evaluated_at_equal_intervals(monkeypatch, algo, name):
    steps = []

    def evaluated(model, *_, **__):
        steps.append(model.num_timesteps)
        return [len(steps)]

    monkeypatch.setattr(objective, "evaluate", evaluated)
    policy = "TabularPolicy" if algo == "q_learning" else "MlpPolicy"
    recipe = Recipe(algo, 1000, hyperparams={"policy": policy})
    task = Task(recipe, "FrozenLake-v1", objective=name, threshold=2.0, n_evaluations=4)
    outcome = measure(task, recipe, 0, 0)
    assert outcome.means == [1, 2, 3, 4]
    assert outcome.value == {"best": 4, "auc": 2.5, "steps-to-threshold": 500}[name]
    assert [step // 250 for step in steps[:3]] == [1, 2, 3]
    if algo == "q_learning":
        assert steps == [250, 500, 750, 1000]


def test_evaluating_does_not_disturb_the_training():
    recipe = Recipe("q_learning", 5_000, hyperparams={"policy": "TabularPolicy"})
    task = Task(recipe, "FrozenLake-v1", objective="auc", n_evaluations=5)
    callback = objective.Evaluations(task, lambda model: objective.mean_return(model, task, 0))
    tables = []
    for callbacks in (None, callback):
        model, env = train(recipe, "FrozenLake-v1", 0, callback=callbacks)
        tables.append(model.policy.q_table.copy())
        env.close()
    np.testing.assert_array_equal(*tables)
    assert len(callback.means) == 4


def test_a_threshold_that_is_never_reached_is_worse_than_any_that_is():
    task = Task(TABLE, "FrozenLake-v1", objective="steps-to-threshold", threshold=2.0, n_evaluations=5)
    assert task.direction == "minimize"
    assert objective.value_of(task, [0.0] * 5) > objective.value_of(task, [0.0] * 4 + [2.0])


def test_a_greedy_policy_that_walks_for_ever_is_cut_off():
    recipe = Recipe("q_learning", 1, hyperparams={"policy": "TabularPolicy", "initial_value": 0.0})
    task = Task(recipe, "CliffWalking-v1", eval_episodes=1)
    model, env = train(recipe, task.env_id, 0)
    model.policy.q_table[:, 0] = 1.0  # up, for ever
    env.close()
    assert objective.mean_return(model, task, 0) == -TIME_LIMIT


def test_a_time_limit_of_the_hyperparameter_file_holds():
    hyperparams = {"policy": "TabularPolicy", "initial_value": 0.0}
    recipe = Recipe("q_learning", 1, hyperparams=hyperparams, env_kwargs={"max_episode_steps": 30})
    task = Task(recipe, "CliffWalking-v1", eval_episodes=1)
    model, env = train(recipe, task.env_id, 0)
    model.policy.q_table[:, 0] = 1.0
    env.close()
    assert objective.mean_return(model, task, 0) == -30


# ---- NaN and infinity -----------------------------------------------------------------------------------------------


def test_a_reward_that_is_not_a_number_prunes(environments):
    importlib.import_module(environments)
    with pytest.raises(NonFinite, match="not finite"):
        measure(replace(TASK, env_id="PoisonedChain-v0"), TABLE, 0, 0)


def test_a_policy_that_explodes_prunes():
    recipe = Recipe("a2c", 400, hyperparams={"policy": "MlpPolicy", "learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(NonFinite):
        measure(Task(recipe, "CartPole-v1"), recipe, 0, 0)


def test_any_other_error_is_an_error(environments):
    importlib.import_module(environments)
    with pytest.raises(ValueError, match="the chain broke"):
        measure(replace(TASK, env_id="BrokenChain-v0"), TABLE, 0, 0)
    wrong = Recipe("q_learning", 10, hyperparams={"policy": "TabularPolicy", "gamma": 2.0})
    with pytest.raises(ValueError, match="gamma"):
        measure(TASK, wrong, 0, 0)
