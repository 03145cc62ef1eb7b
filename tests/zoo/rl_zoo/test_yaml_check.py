"""The check of hyperparameter files: RL Zoo's own pass, nothing that could run as code does."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch as th
import yaml
from torch import nn

from sb3_ext.zoo.yaml_check import EVALUATED, MODULES, check_value, read_entries

RL_ZOO = sorted((Path(find_spec("rl_zoo3").origin).parent / "hyperparams").glob("*.yml"))  # found, not imported
OURS = sorted((Path(__file__).parents[3] / "zoo" / "hyperparams").glob("*.yml"))
CODE = "__import__('os').system('touch {target}')"


@pytest.fixture
def file(tmp_path):
    """Writes a file with one entry, "Env-v0", from lines of YAML; the first of them is line 4."""

    def write(*lines):
        path = tmp_path / "algo.yml"
        path.write_text("# for a test\nEnv-v0:\n  verbosity: 0\n" + "".join(f"  {line}\n" for line in lines))
        return path

    return write


@pytest.mark.parametrize("path", [*RL_ZOO, *OURS], ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_the_files_that_there_are_pass_and_are_read_as_they_stand(path):
    assert len(RL_ZOO) >= 13
    assert len(OURS) >= 9
    assert read_entries(path) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("key", [*EVALUATED, *MODULES, "gamma", "learning_rate", "n_envs", "n_timesteps", "noise_type"])
@pytest.mark.parametrize("form", [CODE, f"dict(x={CODE})", f"[{CODE}]", f"nn.ReLU if {CODE} else 1"])
def test_code_is_refused_with_file_line_and_key_and_not_run(file, tmp_path, key, form):
    path = file("ent_coef: 0.1", f'{key}: "{form.format(target=tmp_path / "ran")}"')
    with pytest.raises(ValueError, match=f"algo.yml, line 5, Env-v0, {key}: "):
        read_entries(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "expression",
    [
        "exit()", "dict(f())", "dict(**{})", "dict(a=f)", "dict(*[1])", "dict", "dict(a=1).x", "[1][0]", "{**a}",
        "nn.ReLU()", "nn.functional", "nn.ReLU.__init__", "nn.__dict__", "(nn).modules.os", "-nn.ReLU", "th.load",
        "th.optim.lr_scheduler.LambdaLR", "os.system", "lambda: 0", "[x for x in ()]", "f'{exit()}'", "x := 1", "a; b",
        "9**9**9", "not 1", "", "(" * 500 + ")" * 500, "\0", "HerReplayBuffer.x", "xHerReplayBuffer",
    ],
)  # fmt: skip
def test_only_literals_and_known_classes_are_evaluated(expression):
    with pytest.raises(ValueError, match="code is not run"):
        check_value("policy_kwargs", expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("dict(net_arch=dict(pi=[64, 64], vf=[]), activation_fn=nn.ReLU)", {"net_arch": {"pi": [64, 64], "vf": []}}),
        (" {'log_std_init': -2.5, 'use_expln': True, 'x': None, 'y': (1, +2)} ", {"log_std_init": -2.5}),
        ("dict(optimizer_class=th.optim.Adam, optimizer_kwargs=dict(eps=1e-5))", {"optimizer_kwargs": {"eps": 1e-5}}),
    ],
)
def test_what_passes_is_what_rl_zoo_makes_of_it(expression, expected):
    check_value("policy_kwargs", expression)
    value = eval(expression.strip(), {"nn": nn, "th": th})
    assert {key: value[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callback", [{"os.system": {"command": "true"}}]),
        ("callback", "subprocess.Popen"),
        ("callback", {"stable_baselines3.PPO": {"policy": "MlpPolicy", "env": "some_module:Env-v0"}}),
        ("callback", "stable_baselines3.common.save_util.load_from_pkl"),
        ("callback", "stable_baselines3.common.callbacks.os"),
        ("callback", "gymnasium.wrappers.TimeLimit"),
        ("env_wrapper", "rl_zoo3.wrappers_of_mine.Wrapper"),
        ("env_wrapper", ["rl_zoo3.wrappers.FrameSkip", "my_package.Wrapper"]),
        ("env_wrapper", [3]),
        ("policy", "my_package.Policy"),
        ("policy", "os.system"),
        ("policy", ["MlpPolicy"]),
        ("vec_env_wrapper", "my_package.Wrapper"),
    ],
)
def test_only_classes_that_do_no_harm_are_imported(key, value):
    with pytest.raises(ValueError, match=r"is not in|not the dotted name"):
        check_value(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callback", "stable_baselines3.common.callbacks.CheckpointCallback"),
        ("env_wrapper", {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 5}}),
        ("env_wrapper", "sb3_ext.envs.OneHot"),
        ("env_wrapper", None),
        ("policy", "MlpPolicy"),
        ("policy", "stable_baselines3.common.policies.ActorCriticPolicy"),
        ("learning_rate", "lin_1e-3"),
        ("learning_rate", "lin_1/N^0.5"),
        ("learning_rate", 0.1),
        ("clip_range", "lin_.2"),
        ("ent_coef", "auto_0.1"),
        ("loss_type", "dr_grpo"),
        ("n_envs", np.float64(8.0)),
        ("env_kwargs", {"map": "S..G"}),
        ("train_freq", [1, "episode"]),
    ],
)
def test_harmless_values_pass(key, value):
    check_value(key, value)


def test_a_package_that_the_user_trusts_passes_as_a_whole_name():
    check_value("env_wrapper", "mine.wrappers.Wrapper", trusted=["mine"])
    with pytest.raises(ValueError, match="--gym-packages mine_too"):
        check_value("env_wrapper", "mine_too.Wrapper", trusted=["mine"])
    with pytest.raises(ValueError, match="not the dotted name"):
        check_value("callback", "mine.run", trusted=["mine"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rate: 1e-4", r"line 4, Env-v0, learning_rate: '1e-4' is not a schedule; write a number \(!!float"),
        ("clip_range: 1/N", "line 4, Env-v0, clip_range"),
        ("ent_coef: 1e-4", r"'1e-4' is not a number \(!!float 1e-3\)"),
        ("n_envs: 2.5", "n_envs: must be a whole number"),
        ("n_envs: 0", "n_envs: must be a whole number, at least 1, got 0"),
        ("frame_stack: true", "frame_stack: must be a whole number"),
        ("policy: [1, 2", r"algo.yml, line 5: not valid YAML here: expected ',' or '\]'"),
        ("policy: !!python/object/apply:os.system [touch ran]", "line 4: not valid YAML here: could not determine"),
        ("gamma: !!float x", "not valid YAML"),
        ("policy: *nowhere", "line 4: not valid YAML here: found undefined alias"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(file, line, message):
    with pytest.raises(ValueError, match=message):
        read_entries(file(line))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must map environment ids"),
        (b"- 1", "must map environment ids"),
        (b"Env-v0: 3\n", "line 1: Env-v0 must hold hyperparameters"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"a: " + b"[" * 5000, "not valid YAML"),
    ],
)
def test_what_is_no_hyperparameter_file_is_said(tmp_path, content, message):
    path = tmp_path / "algo.yml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_entries(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*none.yml: No such file"):
        read_entries(tmp_path / "none.yml")


def test_merged_entries_are_checked_too(tmp_path):
    path = tmp_path / "algo.yml"
    path.write_text("x: &x\n  gamma: 0.9\nA-v0:\n  <<: *x\n  normalize: 'exit()'\n")
    with pytest.raises(ValueError, match="line 5, A-v0, normalize"):
        read_entries(path)
    path.write_text("x: &x\n  gamma: 0.9\nA-v0:\n  <<: {normalize: 'exit()'}\n")
    with pytest.raises(ValueError, match="line 3, A-v0, normalize"):
        read_entries(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A-v0:\n  gamma: 0.9\n  gamma: 0.5\n", "line 3: gamma stands twice, first in line 2"),
        ("A-v0: {gamma: 0.9}\nB-v0: {}\nA-v0: {}\n", "line 3: A-v0 stands twice, first in line 1"),
        ("3: {gamma: 0.9}\n", "line 1: 3 must hold hyperparameters by name"),
        ("A-v0: {3: 0.9}\n", "line 1: A-v0 must hold hyperparameters by name"),
    ],
)
def test_keys_that_stand_twice_or_are_no_names(tmp_path, text, message):
    (tmp_path / "algo.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_entries(tmp_path / "algo.yml")


def test_what_refers_to_itself_ends_with_a_reason(tmp_path):
    (tmp_path / "algo.yml").write_text("A-v0:\n  policy_kwargs: &a\n    b: *a\n  normalize: &c [*c]\n")
    try:
        read_entries(tmp_path / "algo.yml")
    except ValueError as error:
        assert "algo.yml" in str(error)  # noqa: PT017  (either way is fine, a RecursionError is not)


def test_merged_entries_may_say_a_key_again(tmp_path):
    (tmp_path / "algo.yml").write_text("A-v0: &a {gamma: 0.9}\nB-v0:\n  <<: *a\n  gamma: 0.5\n")
    assert read_entries(tmp_path / "algo.yml")["B-v0"] == {"gamma": 0.5}
