"""``sb3-ext train``: every algorithm trains, mistakes are one line, Ctrl-C loses nothing."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from sb3_ext import ALGOS
from sb3_ext.algos import TABLE

STRICT = """
import gymnasium as gym
import numpy as np

class Strict(gym.Env):
    metadata = {"render_modes": []}
    action_space = gym.spaces.Discrete(4)
    observation_space = gym.spaces.Discrete(3)
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def action_masks(self):
        return np.arange(4) == self.place

    def step(self, action):
        if action != self.place:
            raise RuntimeError("a masked action was taken")
        self.place += 1
        return self.place, 1.0, self.place == 2, False, {}

class Wrapper(gym.Wrapper):
    pass

gym.register("Strict-v0", Strict, max_episode_steps=5)
"""
CONTINUOUS = {name for name, row in TABLE.items() if row.actions == "Box"}
TABULAR = {name for name, row in TABLE.items() if "Tabular" in next(iter(ALGOS[name].policy_aliases))}


def arguments_for(name: str) -> str:
    """A training of a second on a world that the algorithm takes."""
    if name in CONTINUOUS:
        return f"--algo {name} --env Pendulum-v1 -n 210 --eval-freq 200 --eval-episodes 1 -params learning_starts:200"
    if name in TABULAR:
        return f"--algo {name} --env FrozenLake-v1 -n 2000 --eval-freq 1000 --save-freq 1000"
    if name == "ppo_mask":
        small = "-n 100 --eval-freq 50 -params n_steps:50 batch_size:50"
        return f"--algo ppo_mask --env Strict-v0 --gym-packages strict {small}"
    return f"--algo {name} --env CartPole-v1 -n 300 --eval-freq 200 --eval-episodes 1"


def model_of(tmp_path: Path, name: str, env: str, run: int = 1) -> Path:
    return tmp_path / "logs" / name / f"{env}_{run}" / f"{env}.zip"


@pytest.mark.slow
def test_every_algorithm_trains_is_evaluated_and_saved_and_plays(sb3_ext, tmp_path):
    (tmp_path / "strict.py").write_text(STRICT)
    trained = sb3_ext(*(f"train {arguments_for(name)} --seed 1" for name in TABLE))
    for name, (status, shown) in zip(TABLE, trained, strict=True):
        assert status == 0, shown
        env = arguments_for(name).split()[3]
        assert (model_of(tmp_path, name, env).parent / "evaluations.npz").is_file(), shown
        ALGOS[name].load(model_of(tmp_path, name, env), device="cpu")
    names = ("q_learning", "grpo", "dqn_scratch", "ppo_mask", "sac")
    played = sb3_ext(
        *(f"enjoy --algo {name} --no-render -n 60 {' '.join(arguments_for(name).split()[2:4])}"
          f"{' --gym-packages strict' if name == 'ppo_mask' else ''}" for name in names)
    )  # fmt: skip
    assert [status for status, _ in played] == [0] * len(names), played


def test_vec_env_auto_reaches_the_fast_backends_and_says_which(sb3_ext, tmp_path):
    wrapper = "env_wrapper:'gymnasium.wrappers.TimeAwareObservation'"
    results = sb3_ext(
        "train --algo reinforce --env CartPole-v1 --vec-env auto -n 2000 --eval-freq 1000",
        "train --algo a2c --env sb3_ext/GridWorld-v0 --vec-env auto -n 100 --eval-freq -1",
        f"train --algo a2c --env CartPole-v1 --vec-env auto -n 100 --eval-freq -1 -params n_envs:8 {wrapper}",
        "train --algo a2c --env sb3_ext/GridWorld-v0 --vec-env subproc -n 20 --eval-freq -1 -params n_envs:2",
        "train --algo reinforce --env CartPole-v1 --vec-env dummy -n 2000 --eval-freq 1000 --seed 4",
        "train --algo reinforce --env CartPole-v1 --vec-env auto -n 2000 --eval-freq 1000 --seed 4",
    )
    assert [status for status, _ in results] == [0] * 6, results
    shown = [text for _, text in results]
    assert "training: GymnasiumVecEnv" in shown[0]
    assert "not of the same type" not in shown[0]
    assert "training: GridWorldVecEnv" in shown[1]
    assert "DummyVecEnv, for env_wrapper needs environments one by one" in shown[2]
    assert "--vec-env" not in shown[4]
    assert (tmp_path / "logs/reinforce/CartPole-v1_1/0.monitor.csv").read_text().count("\n") > 20
    slow, fast = (ALGOS["reinforce"].load(model_of(tmp_path, "reinforce", "CartPole-v1", run)) for run in (2, 3))
    for key, value in slow.get_parameters()["policy"].items():  # the very same training
        assert value.equal(fast.get_parameters()["policy"][key]), key


def test_what_a_file_leaves_out_is_no_error(sb3_ext, tmp_path):
    results = sb3_ext(
        "train --algo reinforce --env Taxi-v4 -n 400 --eval-freq -1",  # reinforce.yml has no default
        "train --algo grpo --env MountainCar-v0 -n 3200 --eval-freq -1",
        "train --algo sarsa --env sb3_ext/RandomWalk-v0 -n 200 --eval-freq -1",  # sarsa.yml has one
        "train --algo ppo_lstm --env CartPole-v1 -n 128 --eval-freq -1 -params n_steps:64",  # RL Zoo's has MlpPolicy
        "train --algo dqn --env CliffWalking-v1 -n 200 --eval-freq 100 --eval-episodes 1",
    )
    assert [status for status, _ in results] == [0] * 5, results
    shown = [text for _, text in results]
    assert "No hyperparameters for reinforce on Taxi-v4: the class's own defaults" in shown[0]
    assert ALGOS["grpo"].load(model_of(tmp_path, "grpo", "MountainCar-v0")).n_envs == 16
    assert "'default' hyperparameters" in shown[2]
    assert "MlpLstmPolicy" in shown[3]
    assert "CliffWalking-v1 has no time limit: an episode of an evaluation ends after 1000 steps" in shown[4]
    lengths = np.load(tmp_path / "logs/dqn/CliffWalking-v1_1/evaluations.npz")["ep_lengths"]
    assert lengths.max() <= 1000


def test_evaluations_see_the_environment_that_is_trained_on(sb3_ext, tmp_path):
    """RL Zoo gives them the ``env_kwargs`` of the command line alone."""
    config = tmp_path / "my.yml"
    entry = {"n_timesteps": 20_000, "policy": "TabularPolicy", "env_kwargs": {"is_slippery": False}}
    config.write_text(yaml.safe_dump({"FrozenLake-v1": entry}))
    ((status, shown),) = sb3_ext("train --algo q_learning --env FrozenLake-v1 -conf my.yml --eval-freq 20000 --seed 1")
    assert status == 0, shown
    returns = np.load(tmp_path / "logs/q_learning/FrozenLake-v1_1/evaluations.npz")["results"]
    assert returns[-1].tolist() == [1] * 5  # on slippery ice one of five drowns or is late, but for one time in four


def test_our_schedules_are_sb3s_and_saved_models_do_without_rl_zoo(sb3_ext, child, tmp_path):
    results = sb3_ext(
        "train --algo reinforce -n 200 --eval-freq -1 -params learning_rate:'lin_0.01' ent_coef:'lin_0.1'",
        "train --algo q_learning --env FrozenLake-v1 -n 200 --eval-freq -1 -params learning_rate:'lin_1/N^0.5'",
    )
    assert [status for status, _ in results] == [0, 0], results
    shown = child(f"""
import sys
from sb3_ext import REINFORCE, QLearning

model = REINFORCE.load({str(model_of(tmp_path, "reinforce", "CartPole-v1"))!r})
print([model.lr_schedule(left) for left in (1.0, 0.5, 0.0)], model.ent_coef(0.5))
model = QLearning.load({str(model_of(tmp_path, "q_learning", "FrozenLake-v1"))!r})
print(model.learning_rate, "rl_zoo3" in sys.modules)
""")
    assert shown.split("\n")[:2] == ["[0.01, 0.005, 0.0] 0.05", "lin_1/N^0.5 False"]


def test_gymnasium_keeps_its_own_time_limit(child):
    shown = child("""
import gymnasium
from sb3_ext.zoo.__main__ import main
try:
    main(["train", "--help"])
except SystemExit:
    pass
env = gymnasium.make("CartPole-v1")
print(type(env).__module__, gymnasium.wrappers.TimeLimit.__module__, gymnasium.wrappers.common.TimeLimit.__module__)
""")
    assert shown.split("\n")[-2] == "gymnasium.wrappers.common " * 2 + "gymnasium.wrappers.common"


MISTAKES = {
    "train --algo reinforc": "there is no algorithm 'reinforc'; did you mean reinforce?",
    "train --algo zzz": "choose from a2c, ",
    "train --env CartPol-v1": "there is no environment 'CartPol-v1'; did you mean CartPole-v1?",
    "train --env sb3_ext/Gridworld-v0": "did you mean sb3_ext/GridWorld-v0?",
    "train --env sb3_ext.envs:sb3_ext/GridWorld-v0": "write --env sb3_ext/GridWorld-v0",
    "train -n many": "invalid int value: 'many'",
    "train -params gama:0.9": "PPO does not take 'gama'; it takes batch_size, clip_range, ",
    "train --algo dyna_q --env Taxi-v4 -params batch_size:3": "DynaQ does not take 'batch_size'; it takes engine, ",
    "train --algo sarsa --env FrozenLake-v1 -params lambda_:2": "lambda_ must lie in [0, 1], got 2",
    "train -params seed:3": "seed is not a hyperparameter here; use --seed",
    "train -params gamma:'x'": "gamma must be a number, got 'x'",
    "train -params policy:MlpPolicy": "name 'MlpPolicy' is not defined; RL Zoo reads name:value pairs as Python",
    "train -params learning_rate:[1]": "learning_rate",
    "train --env-kwargs size:3": "unexpected keyword argument 'size'",
    "train --algo q_learning --env CartPole-v1": "wrap the env in sb3_ext.envs.DiscretizeObservation",
    "train --algo ppo_mask --env CartPole-v1": "does not support action masking",
    "train -conf none.yml": "-conf none.yml: there is no such file",
    "train -conf none": "nor a module of this name",
    "train -conf code.yml": "code.yml, line 4, CartPole-v1, policy_kwargs: ",
    "train -conf torn.yml": "torn.yml, line 2: not valid YAML here",
    "train -conf other.yml": "other.yml has no entry 'CartPole-v1'; it has Acrobot-v1",
    "train -conf poor.yml": "poor.yml, CartPole-v1: policy is missing",
    "train -conf unknown.yml": "unknown.yml, CartPole-v1: PPO does not take 'gama'",
    "train -conf twice.yml": "twice.yml: not valid YAML: line 3: policy stands twice",
    "train -conf nested.yml": "nested.yml, CartPole-v1: gamma must be a number",
    "train -params n_envs:0": "must be a whole number, at least 1, got 0",
    "train -params n_envs:-1": "must be a whole number, at least 1, got -1",
    "train --device foo": "ppo on CartPole-v1: RuntimeError: ",
    "train --algo REINFORCE": "did you mean reinforce?",
    "train -i none.zip": "-i none.zip: there is no such model",
    "train -f torn.yml": "torn.yml",
    "train --gym-packages nowhere": "No module named 'nowhere'",
    "enjoy --algo sac --env Pendulum-v1 -f logs": "train one: sb3-ext train --algo sac --env Pendulum-v1 -f logs",
    "enjoy --algo reinforce --env Taxi-v4": "train one: sb3-ext train --algo reinforce --env Taxi-v4",
    "record-video --algo grpo --env Nowhere": "there is no environment 'Nowhere'",
}


def test_a_users_mistake_is_one_line_without_a_traceback(sb3_ext, tmp_path):
    call = "__import__('os').system('touch ran')"
    (tmp_path / "code.yml").write_text(
        f'CartPole-v1:\n  n_timesteps: 100\n  policy: MlpPolicy\n  policy_kwargs: "dict(a={call})"\n'
    )
    (tmp_path / "torn.yml").write_text("CartPole-v1: {\n")
    (tmp_path / "other.yml").write_text("Acrobot-v1: {n_timesteps: 100, policy: MlpPolicy}\n")
    settings = "n_timesteps: 100, policy: MlpPolicy"
    (tmp_path / "unknown.yml").write_text(f"CartPole-v1: {{{settings}, gama: 0.9}}\n")
    (tmp_path / "twice.yml").write_text("CartPole-v1:\n  policy: MlpPolicy\n  policy: CnnPolicy\n")
    (tmp_path / "nested.yml").write_text(f"CartPole-v1: {{{settings}, gamma: {{a: 1}}}}\n")
    (tmp_path / "poor.yml").write_text("CartPole-v1: {n_timesteps: 100}\n")
    *results, in_full, help_ = sb3_ext(*MISTAKES, "train -params gama:0.9 --verbose 2", "train --help")
    for (line, expected), (status, shown) in zip(MISTAKES.items(), results, strict=True):
        last = shown.strip().split("\n")[-1]
        assert status == 2, (line, shown)
        assert "Traceback" not in shown, (line, shown)
        assert last.startswith(f"sb3-ext {line.split()[0]}: "), (line, shown)
        assert expected in last, line
    assert not (tmp_path / "ran").exists()
    assert in_full[0] == 1
    assert "Traceback" in in_full[1]
    for option in ("--eval-freq", "-conf", "--trained-agent", "{auto,dummy,subproc}", "-optimize", "examples:"):
        assert option in help_[1]


def test_python_files_and_trusted_packages_are_the_users_own_code(sb3_ext, tmp_path):
    (tmp_path / "strict.py").write_text(STRICT)
    entry = "{'n_timesteps': 100, 'policy': 'MlpPolicy', 'env_wrapper': 'strict.Wrapper'}"
    (tmp_path / "mine.py").write_text(f"hyperparams = {{'CartPole-v1': {entry}}}\n")
    (tmp_path / "mine.yml").write_text(f"CartPole-v1: {entry}\n")
    python, refused, trusted = sb3_ext(
        "train --algo a2c -conf mine.py --eval-freq -1",
        "train --algo a2c -conf mine.yml --eval-freq -1",
        "train --algo a2c -conf mine.yml --gym-packages strict --eval-freq -1",
    )
    assert python[0] == 0, python
    assert "mine.py is Python: it runs as your own code" in python[1]
    assert refused[0] == 2
    assert "--gym-packages strict" in refused[1]
    assert trusted[0] == 0, trusted


@pytest.mark.slow
def test_ctrl_c_saves_and_what_it_prints_goes_on(tmp_path, popen):
    options = ["--algo", "reinforce", "--env", "CartPole-v1", "-n", "9000000"]
    command = [sys.executable, "-m", "sb3_ext.zoo", "train", *options]
    process = popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    while "Log path" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    steps = ALGOS["reinforce"].load(model_of(tmp_path, "reinforce", "CartPole-v1")).num_timesteps
    assert f"interrupted after {steps} of 9000000 steps; saved: logs/reinforce/CartPole-v1_1/CartPole-v1.zip" in shown
    line = next(line for line in shown.split("\n") if line.startswith("go on with: sb3-ext "))
    arguments = shlex.split(line.removeprefix("go on with: sb3-ext "))
    assert arguments[-1] == str(9_000_000 - steps)
    going_on = [sys.executable, "-m", "sb3_ext.zoo", *arguments[:-1], "300"]
    shown = subprocess.run(going_on, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "Loading pretrained agent" in shown
    assert model_of(tmp_path, "reinforce", "CartPole-v1", run=2).is_file()


def test_a_file_whose_name_is_only_an_ending_is_checked_as_well(child, tmp_path):
    """RL Zoo looks how the name ends, pathlib sees no suffix in ".yml"."""
    (tmp_path / ".yml").write_text(
        """CartPole-v1: {n_timesteps: 64, policy: MlpPolicy, normalize: "__import__('os').system('touch ran')"}\n"""
    )
    shown = child("""
import sys
from sb3_ext.zoo import register
register()
from rl_zoo3.train import train
sys.argv = ["train", "--algo", "ppo", "--env", "CartPole-v1", "-n", "64", "-conf", "./.yml"]
try:
    train()
except ValueError as error:
    print("refused:", error)
""")
    assert "code is not run" in shown
    assert not (tmp_path / "ran").exists()


def test_a_model_that_cannot_be_written_is_named_and_leaves_no_half(child, tmp_path):
    shown = child("""
import io
from pathlib import Path
from stable_baselines3 import PPO
from sb3_ext.zoo.__main__ import main

def full(self, path, *_, **__):
    Path(path).write_bytes(b"half")
    raise OSError(28, "No space left on device")

PPO.save = full
print(main("train --algo ppo --env CartPole-v1 -n 64 -params n_steps:8 batch_size:8 --eval-freq -1 -f logs".split()))
""")
    assert shown.strip().endswith("2")
    assert not list(tmp_path.glob("logs/ppo/*/CartPole-v1.zip"))


@pytest.mark.slow
def test_rl_zoos_own_search_masks_the_evaluations_of_ppo_mask(sb3_ext, tmp_path):
    pytest.importorskip("pandas")
    (tmp_path / "strict.py").write_text(STRICT)
    [(status, shown)] = sb3_ext(
        "train --algo ppo_mask --env Strict-v0 --gym-packages strict -n 300 -optimize --n-trials 2 --n-evaluations 1"
    )
    assert status == 0, shown
    assert "a masked action was taken" not in shown
