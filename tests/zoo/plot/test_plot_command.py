"""``sb3-ext plot`` from the command line: what it writes, what it says, and that a mistake is one line."""

import re
import sys

import pytest
from PIL import Image

from sb3_ext.zoo.__main__ import main


@pytest.fixture
def runs(benchmark, tmp_path):
    """Two algorithms, five seeds each."""
    for algo, better in (("q_learning", 1.0), ("sarsa", 2.0)):
        benchmark(tmp_path / "runs", algo, "Taxi-v4", [better + seed**2 / 20 for seed in range(5)])
    return tmp_path / "runs"


def plot(*arguments):
    """The exit status."""
    return main(["plot", *map(str, arguments)])


def test_a_page_and_its_pictures(runs, tmp_path, capsys):
    assert plot(runs, "--output", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert "sarsa" in out
    assert str(tmp_path / "out/index.html") in out
    assert "note:" not in err
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    pictures = list((tmp_path / "out").glob("*.png"))
    assert len(pictures) == page.count("<svg ") == 5
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width == 720
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png", ".html"}


def test_what_is_wrong_is_said_and_the_rest_drawn(runs, tmp_path, capsys):
    (runs / "sarsa/Taxi-v4_1/error.txt").write_text("Traceback\nMemoryError: full\n")
    (runs / "sarsa/Taxi-v4_2/run.json").rename(runs / "sarsa/Taxi-v4_2/.begun")  # as a killed process leaves it
    (runs / "sarsa/Taxi-v4_3/curve.csv").write_text("timestep,return\n100,1\n200,")
    assert plot(runs, "--output", tmp_path / "out") == 0
    err = capsys.readouterr().err
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    for said in (
        "Taxi-v4_1 crashed: MemoryError: full",
        "Taxi-v4_2: run.json is not there; killed, or still going on?",
        "curve.csv: its last line is cut",
        "sarsa on Taxi-v4: 3 runs where others have 5: seed 0, seed 1 missing",
    ):
        assert said in err
        assert said in page


def test_folders_are_compared_with_each_other(benchmark, tmp_path, capsys):
    for folder, better in (("before", 0), ("after", 1)):
        benchmark(tmp_path / folder, "sarsa", "Taxi-v4", [better + seed for seed in range(3)])
    assert plot(tmp_path / "before", tmp_path / "after", "--by", "folder", "--output", tmp_path / "out") == 0
    assert re.search(r"Taxi-v4 +│ after +│ 2 .*Taxi-v4 +│ before +│ 1 ", capsys.readouterr().out, flags=re.DOTALL)


def test_measure_range_and_seed_reach_the_page(runs, tmp_path):
    def page(*options):
        assert plot(runs, "--output", tmp_path / "out", *options) == 0
        return (tmp_path / "out/index.html").read_text(encoding="utf-8").split("<footer>")[0]

    default = page()
    assert page() == default
    assert page("--seed", "7") != default
    other = page("--measure", "mean", "--range", "Taxi-v4", "-200", "8")
    assert "<th>mean</th>" in other
    assert "<td>Taxi-v4</td><td>\N{MINUS SIGN}200</td><td>8</td>" in other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--range", "Taxi-v4", "0", "much"], "--range Taxi-v4: LOW and HIGH must be numbers, got 0 much"),
        (["--range", "Taxi-v4", "1", "1"], "must be finite and different"),
        (["--range", "Taxi-v4", "0", "nan"], "must be finite and different"),
        (["--range", "Taxi-v4", "0", "1", "--range", "Taxi-v4", "0", "2"], "given twice"),
        (["--range", "Pong-v5", "0", "1"], "no run is of Pong-v5, but of Taxi-v4"),
        (["nowhere"], "nowhere is not there"),
    ],
)
def test_a_mistake_is_one_line(options, message, runs, tmp_path, capsys):
    assert plot(runs, *options, "--output", tmp_path / "out") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip().count("\n") == 0
    assert err.startswith("sb3-ext plot: ")
    assert message in err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "options", [["--by", "seed"], ["--measure", "median"], ["--seed", "-1"], ["--output", __file__]]
)
def test_an_option_that_does_not_exist(options, runs, capsys):
    with pytest.raises(SystemExit, match="2"):
        plot(runs, *options)
    assert f"argument {options[0]}: " in capsys.readouterr().err


def test_a_folder_without_runs(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert plot(tmp_path / "empty", "--output", tmp_path / "out") == 2
    assert "no runs in" in capsys.readouterr().err


def test_a_folder_without_a_run_that_can_be_read_says_why(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/monitor.csv").touch()
    assert plot(tmp_path / "logs", "--output", tmp_path / "out") == 2
    assert "monitor.csv is empty" in capsys.readouterr().err


def test_without_tensorboard_its_logs_are_said_once_and_the_rest_is_drawn(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    for i in range(3):
        (tmp_path / f"tb/DQN_{i}").mkdir(parents=True)
        (tmp_path / f"tb/DQN_{i}/events.out.tfevents.1").touch()
    assert plot(runs, tmp_path / "tb", "--output", tmp_path / "out") == 0
    assert capsys.readouterr().err.count("pip install tensorboard") == 1


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        plot("--help")
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "sb3-ext plot runs/benchmark" in out
    for said in ("evaluations.npz", "Monitor", "RL Zoo", "TensorBoard"):
        assert said in out


def test_importing_the_command_is_cheap():
    import subprocess

    code = "import sys, sb3_ext.zoo.plot.command; print(sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
