"""Planted faults are found, by a sign that fits; healthy trainings pass without a word."""

from dataclasses import replace

import pytest

from sb3_ext.algos import TABLE
from sb3_ext.zoo.doctor.callback import DoctorCallback
from sb3_ext.zoo.doctor.environment_faults import ENVIRONMENT_FAULTS
from sb3_ext.zoo.doctor.faults import FAULTS
from sb3_ext.zoo.doctor.healthy import all_healthy
from sb3_ext.zoo.doctor.signs import SIGNS

SLOW_FAULTS = ("DQN", "TD3", "SAC", "terminal mask", "policy loss", "GRPO", "60 epochs", "bonus", "farmed")
TABULAR = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")
QUICK_RUNS = (*TABULAR, "ppo_mask", "reinforce")
FIRST_RUNS = list({run.recipe.algo: run for run in reversed(all_healthy())}.values())  # of each algorithm


def marked(items, is_slow):
    return [pytest.param(item, marks=pytest.mark.slow, id=item.name) if is_slow(item) else
            pytest.param(item, id=item.name) for item in items]  # fmt: skip


@pytest.mark.parametrize("fault", marked(FAULTS, lambda fault: any(part in fault.name for part in SLOW_FAULTS)))
def test_a_planted_fault_is_found(fault):
    doctor = DoctorCallback(0)
    try:
        fault.train(0, doctor)
    except ValueError:
        assert "NaN" in fault.name  # which ends a training of PPO
    assert set(fault.signs) & {finding.sign for finding in doctor.findings}


@pytest.mark.parametrize("run", marked(FIRST_RUNS, lambda run: run.recipe.algo not in QUICK_RUNS))
def test_a_healthy_training_passes(run):
    """A third of it; ``sb3-ext doctor --self-check`` does all of it."""
    doctor = DoctorCallback(0)
    n_timesteps = max(run.recipe.n_timesteps // 3, 1_500)
    run._replace(recipe=replace(run.recipe, n_timesteps=n_timesteps)).train(0, doctor)
    assert doctor.record.last_step >= n_timesteps
    assert doctor.findings == []


def test_every_algorithm_has_a_healthy_run_and_there_are_forty():
    assert {run.recipe.algo for run in all_healthy()} == set(TABLE)
    assert len(all_healthy()) >= 40


def test_every_sign_has_a_fault():
    expected = {sign for fault in FAULTS for sign in fault.signs}
    assert expected == {sign.name for sign in SIGNS}
    assert len(FAULTS) + len(ENVIRONMENT_FAULTS) >= 12
