"""``sb3-ext check``: its own process, what it prints, its exit status, and the exercise sheet."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.check import exercise_sheet, supervisor
from sb3_ext.zoo.check.sheet import SHEET
from sb3_ext.zoo.check.signatures import NAMES, PARAMETERS

SOLUTIONS = {
    "discounted_returns": """
    returns, running = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        running = rewards[t] + gamma * running
        returns[t] = running
    return returns""",
    "td_target": "return reward + gamma * next_value * (1 - terminated)",
    "epsilon_greedy": """
    best = q_values == q_values.max()
    return epsilon / len(q_values) + (1 - epsilon) * best / best.sum()""",
    "q_learning_update": """
    target = reward if terminated else reward + gamma * next_q_values.max()
    return q_value + learning_rate * (target - q_value)""",
    "dqn_targets": "return (rewards + gamma * (1 - terminated) * next_q_values.max(dim=1).values).detach()",
    "double_dqn_targets": """
    picked = next_online_q_values.argmax(dim=1, keepdim=True)
    return (rewards + gamma * (1 - terminated) * next_q_values.gather(1, picked).squeeze(1)).detach()""",
    "policy_gradient_loss": "return -(log_probs * advantages.detach()).mean()",
    "gae": """
    advantages, running = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] * (not terminated[t]) - values[t]
        running = delta + gamma * gae_lambda * (not terminated[t] and not truncated[t]) * running
        advantages[t] = running
    return advantages""",
    "clipped_surrogate": """
    ratio, advantages = (log_probs - old_log_probs.detach()).exp(), advantages.detach()
    return -th.min(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages).mean()""",
    "potential": """
    row, column = divmod(observation, 13)
    return -abs(row - 11) - abs(column - 11)""",
    "shaping_reward": "return (0.0 if terminated else gamma * next_potential) - potential",
    "kl_penalty": """
    log_ratio = ref_log_probs.detach() - log_probs
    return log_ratio.exp() - log_ratio - 1""",
    "group_advantages": """
    deviations = returns - returns.mean(axis=1, keepdims=True)
    return deviations / (returns.std(axis=1, keepdims=True) + 1e-8)""",
}


@pytest.fixture
def check(tmp_path, capfd):
    """Writes a file, grades it as JSON; returns the exit status and what was printed."""

    def run(text, *options):
        file = tmp_path / "my_file.py"
        file.write_text(text)
        status = main(["check", str(file), "--json", *options])
        printed = capfd.readouterr().out
        return status, json.loads(printed, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))

    return run


def filled_in(sheet):
    """The sheet with a solution in the place of each blank."""
    for name in NAMES:
        before, blank, after = sheet.partition(f"def {name}(")[2].partition("    raise NotImplementedError\n")
        sheet = sheet.replace(before + blank + after, f"{before}    {SOLUTIONS[name].strip()}\n{after}")
    return sheet


# ---- The sheet ------------------------------------------------------------------------------------------------------


def test_the_sheet_has_every_function_with_its_parameters_in_order():
    from inspect import getdoc, signature

    functions = [
        name
        for name, value in vars(exercise_sheet).items()
        if getattr(value, "__module__", "") == exercise_sheet.__name__
    ]
    assert tuple(functions) == NAMES
    for name in NAMES:
        function = getattr(exercise_sheet, name)
        assert tuple(signature(function).parameters) == PARAMETERS[name]
        assert "Args:" in getdoc(function)


def test_the_sheet_is_written_once(tmp_path, capsys):
    file = tmp_path / "mine.py"
    assert main(["check", "--sheet", str(file)]) == 0
    assert file.read_text() == SHEET.read_text()
    file.write_text("mine")
    assert main(["check", "--sheet", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "is there already" in capsys.readouterr().err
    assert main(["check", "--sheet", str(tmp_path / "no" / "folder.py")]) == 2


def test_blanks_are_not_done_yet(check):
    status, report = check(SHEET.read_text())
    assert status == 1
    assert [one["name"] for one in report["functions"]] == list(NAMES)
    assert {one["mistake"]["id"] for one in report["functions"]} == {"not-done-yet"}
    assert not report["passed"]


def test_the_sheet_filled_in_passes_in_time(check):
    started = time.perf_counter()
    status, report = check(filled_in(SHEET.read_text()))
    assert status == 0, [one for one in report["functions"] if not one["passed"]]
    assert report["passed"]
    assert [one["name"] for one in report["functions"] if one["passed"]] == list(NAMES)
    assert time.perf_counter() - started < 60


# ---- What hangs, crashes or cannot be imported ----------------------------------------------------------------------

HOSTILE = """
import os, sys, time

print("imported")

def discounted_returns(rewards, gamma):
    while True:
        pass

def td_target(reward, gamma, next_value, terminated):
    print('{"event": "done"}')
    os.write(1, b'{"event": "verdict"}')
    sys.stderr.write("noise")
    return reward + gamma * next_value * (1 - terminated)

def epsilon_greedy(q_values, epsilon):
    os._exit(7)

def q_learning_update(*arguments):
    sys.exit(0)

def dqn_targets(rewards, gamma, next_q_values, terminated):
    import ctypes
    ctypes.string_at(0)

def policy_gradient_loss(log_probs, advantages):
    return policy_gradient_loss(log_probs, advantages)

def gae(*arguments):
    return input()

def kl_penalty(log_probs, ref_log_probs):
    print(log_probs - ref_log_probs)

def group_advantages(returns):
    return [0.0] * 10**11
"""


def test_what_hangs_or_exits_takes_no_other_function_with_it(check):
    status, report = check(
        HOSTILE, "--time-limit", "2", "--function", "discounted_returns", "td_target", "epsilon_greedy"
    )
    found = [one["mistake"] and one["mistake"]["id"] for one in report["functions"]]
    assert found == ["no-answer", None, "ends-the-process"]
    assert status == 1


@pytest.mark.slow
def test_no_function_takes_another_with_it(check):
    status, report = check(HOSTILE, "--time-limit", "2")
    found = {one["name"]: one["mistake"] and one["mistake"]["id"] for one in report["functions"]}
    assert found == {
        "discounted_returns": "no-answer", "td_target": None, "epsilon_greedy": "ends-the-process",
        "q_learning_update": "ends-the-process", "dqn_targets": "ends-the-process",
        "policy_gradient_loss": "endless-recursion", "gae": "raises", "kl_penalty": "prints-only",
        "group_advantages": "out-of-memory",
    }  # fmt: skip
    assert status == 1
    sentences = {one["name"]: one["mistake"]["sentence"] for one in report["functions"] if one["mistake"]}
    assert "exit status 7" in sentences["epsilon_greedy"]
    assert "SIGSEGV" in sentences["dqn_targets"]
    first = report["functions"][0]["failures"][0]
    assert first["case"] == "three rewards"
    assert first["inputs"] == {"rewards": [1.0, 2.0, 4.0], "gamma": 0.5}
    assert "double_dqn_targets" in report["not_there"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def gae(:\n    pass\n", "SyntaxError in line 1 of my_file.py"),
        ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero in line 2: y = x / 0"),
        pytest.param("import no_such_module\n", "No module named 'no_such_module' in line 1", marks=pytest.mark.slow),
        pytest.param("import sys\nsys.exit(0)\n", "ends the program", marks=pytest.mark.slow),
        pytest.param("import os\nos._exit(0)\n", "importing it ends the process", marks=pytest.mark.slow),
        pytest.param("while True:\n    pass\n", "importing it takes more than 2 s", marks=pytest.mark.slow),
        pytest.param("def compute_gae():\n    pass\n", "is there; it has compute_gae", marks=pytest.mark.slow),
        pytest.param("", "none of the functions is there", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_graded(check, text, reason):
    status, report = check(text, "--time-limit", "2")
    assert status == 2
    assert reason in report["error"]
    assert (report["functions"], report["passed"]) == ([], False)


def test_no_file(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nothing.py")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == 2


# ---- What is printed ------------------------------------------------------------------------------------------------

TWO = """
import my_helpers

def td_target(reward, gamma, next_value, terminated):
    return reward + gamma * next_value

def discount_returns(rewards, gamma):
    return rewards
"""


def test_text_for_a_reader(tmp_path, capsys):
    (tmp_path / "my_helpers.py").write_text("")
    file = tmp_path / "random.py"  # takes no other module's place
    file.write_text(TWO)
    assert main(["check", str(file)]) == 1
    printed = capsys.readouterr().out
    for text in ("td_target", "wrong", "forgot the terminal mask", "[no-terminal-mask]", "the episode terminates",
                 "next_value=4", "out       3", "expected  1", "0 of 1 functions",
                 "discounted_returns (is discount_returns meant to be it?)"):  # fmt: skip
        assert text in printed
    assert "\x1b" not in printed


def test_functions_that_are_asked_for(check, tmp_path):
    (tmp_path / "my_helpers.py").write_text("")
    status, report = check(TWO, "--function", "gae", "td_target")
    assert status == 1
    assert [(one["name"], one["status"]) for one in report["functions"]] == [
        ("td_target", "wrong"),
        ("gae", "not there"),
    ]
    assert report["not_there"] == []


def test_help_is_honest_and_quick(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "nothing here is a sandbox" in printed
    assert "in a container" in printed
    assert "or a training failed" in printed
    heavy = "import sys; from sb3_ext.zoo.check import command; command.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "matplotlib", "rich"} & set(loaded)


def test_a_fault_of_the_graders_own_is_not_blamed_on_the_file(check, monkeypatch):
    monkeypatch.setattr(supervisor, "BOOTSTRAP", "import sys; sys.exit(3)  # {root!r}")
    status, report = check("def gae(): pass")
    assert status == 2
    assert "did not start" in report["error"]


# ---- What breaks the grader -----------------------------------------------------------------------------------------

BREAKS = """
import os
import numpy as np
import torch

torch.set_grad_enabled(False)

class X:
    def __repr__(self):
        raise RuntimeError("no words")

gae = X()

def td_target(reward, gamma, next_value, terminated):
    os.kill(os.getpid(), 40)

def policy_gradient_loss(log_probs, advantages):
    return -(log_probs * advantages.detach()).mean()

def kl_penalty(log_probs, ref_log_probs):
    log_ratio = ref_log_probs.detach() - log_probs
    return log_ratio.exp() - log_ratio - 1
"""


def test_what_would_break_the_grader_is_a_verdict(check):
    status, report = check(BREAKS)
    found = {one["name"]: one["mistake"] and one["mistake"]["sentence"] for one in report["functions"]}
    assert status == 1
    assert found == {
        "td_target": "ends the process (it crashed: signal 40)",
        "gae": "is no function but X: <X>",
        "policy_gradient_loss": None,
        "kl_penalty": None,
    }


PATCHES = """
import os
import sys
import numpy as np

np.isclose = None
sys.stdout.reconfigure(encoding="utf-8")
sys.stdout.buffer.write(b"bytes")

def td_target(reward, gamma, next_value, terminated):
    sys.stdout.buffer.write(b"3.0")
"""


def test_what_cannot_be_compared_is_not_called_wrong_for_certain(check):
    _, report = check(PATCHES + "    return 3.0\n")
    (one,) = report["functions"]
    assert (one["mistake"]["id"], one["mistake"]["certain"]) == ("could-not-be-graded", False)
    assert "TypeError" in one["mistake"]["sentence"]
    _, report = check(PATCHES.replace("np.isclose = None", ""))
    assert report["functions"][0]["mistake"]["id"] == "prints-only"


ONCE = """
import os

os.mkdir(__file__ + ".out")

def discounted_returns(rewards, gamma):
    return rewards

def td_target(reward, gamma, next_value, terminated):
    os._exit(7)

def gae(*arguments):
    return 0.0
"""


def test_verdicts_outlive_a_second_import_that_fails(check):
    status, report = check(ONCE)
    assert status == 1
    assert [one["mistake"]["id"] for one in report["functions"]] == [
        "ignores-the-future",
        "ends-the-process",
        "could-not-be-graded",
    ]
    assert "FileExistsError" in report["functions"][2]["mistake"]["sentence"]


SLOW_DIAGNOSIS = """
def td_target(reward, gamma, next_value, terminated):
    while isinstance(reward, bool) or gamma < 0 or gamma > 1:
        pass
    return reward * 3.7 + gamma ** 2 - next_value
"""


def test_a_loop_in_the_diagnosis_is_cut_short_and_not_blamed(check):
    started = time.perf_counter()
    _, report = check(SLOW_DIAGNOSIS, "--time-limit", "2")
    (one,) = report["functions"]
    assert one["mistake"] is None
    assert one["n_cases"] > 5
    assert time.perf_counter() - started < 40


FORKS = """
import os

def discounted_returns(rewards, gamma):
    os.fork()
    return rewards

def td_target(reward, gamma, next_value, terminated):
    return reward + gamma * next_value * (1 - terminated)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_grades_nothing(check):
    _, report = check(FORKS)
    assert [one["mistake"] and one["mistake"]["id"] for one in report["functions"]] == ["ignores-the-future", None]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_nothing_behind(tmp_path, number):
    file, told = tmp_path / "endless.py", tmp_path / "pid"
    file.write_text(f"import os\nopen({str(told)!r}, 'w').write(str(os.getpid()))\nwhile True:\n    pass\n")
    command = "from sb3_ext.zoo.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    running = subprocess.Popen([sys.executable, "-c", command, "check", str(file), "--time-limit", "100"])
    try:
        until(lambda: told.exists() and told.read_text())
    finally:
        running.send_signal(number)
    assert running.wait(10) in (128 + number, -number)
    until(lambda: is_gone(int(told.read_text())))


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_folder_that_cannot_be_written_to_is_told_before_grading(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("raise SystemExit")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(file), "--json", "--train", "gae", "--output", str(file / "folder")])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "--output" in printed.err
    assert printed.out == ""


def test_a_null_byte_is_in_no_line(check):
    _, report = check("x = 1\0\n")
    assert "None" not in report["error"]
