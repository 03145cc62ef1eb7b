"""``sb3-ext rlhf``: the page it writes, and what it says to mistakes."""

import subprocess
import sys

import pytest

from sb3_ext.zoo.__main__ import COMMANDS, main
from sb3_ext.zoo.rlhf import pipeline


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(pipeline, "N_HELD_OUT", 50)
    monkeypatch.setattr(pipeline, "N_HACKED", 40)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_pipeline_prints_a_table_and_writes_a_page(tmp_path, capsys):
    assert main(["rlhf", "--output", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name in ("SFT", "PPO + KL", "GRPO", "DPO", "true reward", "KL(π‖ref)"):
        assert name in printed
    assert (tmp_path / "rlhf-sort-learned.html").stat().st_size > 50_000


def test_another_task_with_another_beta(tmp_path, capsys):
    arguments = ["--task", "brackets", "--reward", "true", "--beta", "0.5", "--seed", "3", "--output", str(tmp_path)]
    assert main(["rlhf", *arguments]) == 0
    assert "beta 0.5" in capsys.readouterr().out
    assert (tmp_path / "rlhf-brackets-true.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "sorting"], "there is no 'sorting'; choose from copy, reverse, sort"),
        (["--reward", "good"], "there is no 'good'; choose from learned, classifier, true"),
        (["--beta", "0"], "must be a number above 0, got 0"),
        (["--beta", "-1"], "must be a number above 0, got -1"),
        (["--beta", "much"], "must be a number above 0, got much"),
        (["--beta", "nan"], "must be a number above 0, got nan"),
        (["--seed", "-1"], "must be at least 0"),
        (["everything"], "there is no 'everything'"),
    ],
)
def test_mistakes_of_the_user(arguments, says, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["rlhf", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_what_goes_wrong_is_one_sentence(tmp_path, monkeypatch, capsys):
    def fail(self, progress=True):
        raise ValueError("all 60 pairs have the same response twice, which prefers nothing")

    monkeypatch.setattr(pipeline.Pipeline, "play", fail)
    assert main(["rlhf", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "sb3-ext rlhf: all 60 pairs have the same response twice, which prefers nothing\n"
    )


@pytest.mark.parametrize(
    ("stage", "finished"),
    [
        ("imitate", []),
        ("learn_reward", ["SFT"]),
        ("optimise", ["SFT", "preferences and reward"]),
        ("over_optimise", ["SFT", "preferences and reward", "PPO + KL", "GRPO", "DPO"]),
    ],
)
def test_ctrl_c_keeps_the_finished_stages(stage, finished, tmp_path, monkeypatch, capsys):
    def interrupt(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.Pipeline, stage, interrupt)
    assert main(["rlhf", "--output", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err
    page = tmp_path / "rlhf-sort-learned-unfinished.html"
    assert page.exists() == bool(finished)
    if finished:
        assert f"The run ended early, after: {', '.join(finished)}." in page.read_text()


def test_help_is_there_at_once():
    code = "import sys; from sb3_ext.zoo.__main__ import main\ntry: main(['rlhf', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'gymnasium', 'matplotlib'} & set(sys.modules)))"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "sb3-ext rlhf accuracy --seeds 5" in shown
    assert shown.strip().endswith("[]")
    assert "rlhf" in COMMANDS
