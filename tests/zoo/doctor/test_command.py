"""``sb3-ext doctor``: what it prints, its exit status, and one line for every mistake."""

import pytest

from sb3_ext.zoo.doctor import command, cost, environment, main
from sb3_ext.zoo.doctor.self_check import Job, Outcome, self_check

OWN = """
import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO

class Endless(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(action), False, False, {}

class MyPPO(PPO):
    def train(self):
        raise RuntimeError("shapes do not fit")

gym.register("Endless-v0", Endless)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_module_of_the_doctor.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    monkeypatch.setattr(environment, "N_STEPS", 1_000)


def test_a_sound_environment(capsys):
    assert main(["--env", "sb3_ext/GridWorld-v0"]) == 0
    shown = capsys.readouterr().out
    assert "observation      1 component, 0 to" in shown
    assert "nothing is wrong with it" in shown


def test_an_environment_of_ones_own_in_the_working_folder(capsys):
    assert main(["--env", "my_module_of_the_doctor:Endless-v0"]) == 1
    assert "no time limit: a random episode took 1,000 steps" in capsys.readouterr().out


def test_an_algorithm_of_ones_own_that_raises(capsys):
    assert main(["--algo", "my_module_of_the_doctor:MyPPO", "--quick"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "no  one transition: RuntimeError: shapes do not fit"
    assert shown[1].startswith("    the network, the loss or its target is wrong")


@pytest.mark.parametrize(("text", "status", "verdict"), [("0.0003", 0, "no warning sign"), ("1.0", 1, "rate is 1\n")])
def test_logs(tmp_path, capsys, text, status, verdict):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "progress.csv").write_text(
        "time/total_timesteps,train/learning_rate,train/loss\n" + f"10,{text},1\n20,{text},1\n30,0."
    )
    assert main(["--logs", "run"]) == status
    shown = capsys.readouterr()
    assert verdict in shown.out
    assert "run/progress.csv: its last line is cut" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "CartPol-v1"], "no environment 'CartPol-v1'; did you mean CartPole-v1"),
        (["--env", "no_such_module:X-v0"], "ModuleNotFoundError: No module named 'no_such_module'"),
        (["--env", "my_module_of_the_doctor:Nope-v0"], "cannot be made: NameNotFound"),
        (["--algo", "pppo"], "no algorithm 'pppo'; did you mean ppo"),
        (["--algo", "my_module_of_the_doctor:Nope"], "cannot be imported: AttributeError"),
        (["--algo", "my_module_of_the_doctor:Endless"], "no subclass of SB3's BaseAlgorithm"),
        (["--logs", "nowhere"], "there is no folder nowhere"),
        (["--logs", "."], "holds no progress.csv"),
        (["--self-check", "--only", "zzz"], "nothing has 'zzz' in its name"),
        (["--cost", "--only", "zzz"], "no algorithm has 'zzz' in its name"),
    ],
)
def test_a_mistake_takes_one_line(capsys, arguments, message):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--env", "CartPole-v1", "--algo", "ppo"], ["--self-check", "--seeds", "0"]])
def test_what_argparse_refuses(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "sb3-ext doctor: error: " in capsys.readouterr().err


FOUND = Outcome(Job("fault", 0, "a fault", 0), ("NaN",), ("NaN", "getting worse"), 1.0, 0.0)
MISSED = FOUND._replace(seen=("getting worse",))
WELL = Outcome(Job("healthy", 0, "a run", 0), (), (), 0.0, 1.0)
ALARM = WELL._replace(seen=("NaN",))
WRONG = ALARM._replace(job=Job("environment", 0, "a world", 0))


@pytest.mark.parametrize(
    ("outcomes", "status", "figures"),
    [
        ([FOUND, *[WELL] * 39, ALARM], 0, "found: 1 of 1; false alarms: 1 in 40 healthy trainings, 0 in 0 sound"),
        ([MISSED, *[WELL] * 40], 1, "found: 0 of 1; false alarms: 0 in 40 healthy trainings, 0 in 0 sound"),
        ([FOUND, *[WELL] * 38, ALARM], 1, "found: 1 of 1; false alarms: 1 in 39 healthy trainings, 0 in 0 sound"),
        ([*[WELL] * 99, WRONG], 1, "found: 0 of 0; false alarms: 0 in 99 healthy trainings, 1 in 1 sound"),
    ],
)
def test_the_self_check_counts(monkeypatch, capsys, outcomes, status, figures):
    from rich.console import Console

    monkeypatch.setattr("sb3_ext.zoo.doctor.self_check.run_parallel", lambda *_, **__: outcomes)
    assert self_check([0], "", 1, Console()) == status
    assert figures in capsys.readouterr().out


def test_the_cost_is_measured_by_turns(monkeypatch, capsys):
    turns = []

    def seconds_of(run, seed, callback):
        turns.append((seed, callback is not None))
        return 10.0 + len(turns)

    monkeypatch.setattr(cost, "seconds_of", seconds_of)
    assert main(["--cost", "--only", "a2c", "--repeats", "2", "--seed", "7"]) == 0
    assert turns == [(7, False), (7, False), (7, True), (7, True), (7, False)]
    assert "13.00 s with it, 12.00 s without, a ratio of 1.083" in capsys.readouterr().out


def test_a_callback_that_takes_its_time_is_too_dear(monkeypatch, capsys):
    monkeypatch.setattr(cost.TimedDoctor, "share", 0.03)
    monkeypatch.setattr(cost, "seconds_of", lambda run, seed, callback: 1.0)
    assert main(["--cost", "--only", "a2c"]) == 1
    assert "3.00% of the time passes in it" in capsys.readouterr().out


def test_help_shows_every_use(capsys):
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    assert all(f"sb3-ext doctor --{use}" in shown for use in ("env", "algo", "logs", "self-check", "cost"))
