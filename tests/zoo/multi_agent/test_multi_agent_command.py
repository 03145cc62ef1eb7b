"""``sb3-ext multi-agent``: what it lists, refuses, writes and keeps."""

import re
from pathlib import Path

import pytest
from PIL import Image, ImageSequence
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO

from sb3_ext import QLearning
from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.multi_agent import board_game, grid_game, matrix_game, team_game
from sb3_ext.zoo.multi_agent.examples import EXAMPLES

PPO_BRIEFLY = {"n_steps": 8, "batch_size": 16, "n_epochs": 1}


def is_film(file: Path) -> bool:
    """Longer than a few frames; frames that are alike are one that lasts."""
    film = Image.open(file)
    return sum(frame.info["duration"] for frame in ImageSequence.Iterator(film)) > 100  # milliseconds


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_every_example_has_a_line(arguments, capsys):
    if arguments:
        with pytest.raises(SystemExit):
            main(["multi-agent", *arguments])
    else:
        assert main(["multi-agent"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, example in EXAMPLES.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(example.about)
        assert len(line) <= 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simple_spred"], "did you mean simple_spread"),
        (["simple_tag", "--way", "shared"], "simple_tag learns in the way independent, not 'shared'"),
        (["--compare"], "need the NAME of an example"),
        (["carry", "--compare"], "carry has one way to learn; --compare is for simple_spread"),
        (["connect_four", "--tune", "3"], "--tune is for what one model learns .*: simple_spread, pistonball"),
        (["--shipped"], "need the NAME of an example"),
        (["carry", "--shipped"], "no model of carry ships; connect_four's does"),
        (["carry", "--compare", "--check"], "not allowed with argument"),
        (["carry", "-n", "0"], "must be at least 1"),
        (["carry", "--output", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    ],
)
def test_mistakes(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["multi-agent", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error)


@pytest.mark.parametrize("way", ["shared", "independent", "centralized"])
def test_simple_spread(way, short, tmp_path, capsys):
    short("simple_spread", **PPO_BRIEFLY)
    arguments = ["simple_spread", "--way", way, "-n", "64", "--n-envs", "2", "--output", str(tmp_path)]
    assert main(["multi-agent", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "team random" in printed
    assert "team trained" in printed
    models = sorted(tmp_path.glob("model_*.zip"))
    assert len(models) == (3 if way == "independent" else 1)
    assert PPO.load(models[0]).num_timesteps >= 64
    assert (tmp_path / "curve.png").stat().st_size > 5000
    assert is_film(tmp_path / "play.gif")


def test_simple_tag_shows_every_mixture(short, tmp_path, capsys):
    short("simple_tag")
    assert main(["multi-agent", "simple_tag", "-n", "128", "--n-envs", "2", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for chasers in ("random", "trained"):
        for runner in ("random", "trained"):
            assert f"chasers {chasers}, runner {runner}" in printed
    assert PPO.load(tmp_path / "model_adversary_all.zip").action_space.n == 5
    assert DQN.load(tmp_path / "model_agent_all.zip").action_space.n == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pistonball", "knights_archers_zombies"])
def test_images_and_deaths(name, short, tmp_path, capsys):
    short(name, **PPO_BRIEFLY)
    assert main(["multi-agent", name, "-n", "32", "--n-envs", "2", "--output", str(tmp_path)]) == 0
    assert "team trained" in capsys.readouterr().out
    assert is_film(tmp_path / "play.gif")


def test_tic_tac_toe(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(board_game, "N_GAMES", 4)
    monkeypatch.setattr(board_game, "N_MATCHES", 3)
    short("tic_tac_toe", n_steps=16, batch_size=64, n_epochs=1)
    arguments = ["multi-agent", "tic_tac_toe", "-n", "512", "--n-envs", "8", "--output", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for opponent in ("random", "one-ply", "perfect"):
        assert f"trained          {opponent}" in printed
    assert "games that perfect play can win" in printed
    assert MaskablePPO.load(tmp_path / "model_all.zip").num_timesteps == 512
    assert (tmp_path / "pool" / "index.json").exists()
    assert (tmp_path / "curve.png").exists()
    assert is_film(tmp_path / "play.gif")
    assert main(arguments) == 2
    assert f"{tmp_path / 'pool'} holds the opponents of an earlier training" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["carry", "tag"])
def test_grid_games(name, short, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(grid_game, "N_LOOKS", 2)
    short(name)
    assert main(["multi-agent", name, "-n", "1000", "--n-envs", "4", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    exact = ("optimum", "0.845") if name == "carry" else ("value of the game", "0.266")
    assert f"{exact[0]:32} {exact[1]}" in printed
    assert len(list(tmp_path.glob("model_*.zip"))) == 2
    assert QLearning.load(next(tmp_path.glob("model_*.zip"))).num_timesteps == 1000
    assert (tmp_path / "curve.png").exists()
    assert is_film(tmp_path / "play.gif")


@pytest.mark.parametrize("name", ["prisoners_dilemma", "rock_paper_scissors"])
def test_matrix_games(name, tmp_path, capsys):
    assert main(["multi-agent", name, "-n", "640", "--n-envs", "8", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert ("defect and defect" if name == "prisoners_dilemma" else "[0.333 0.333 0.333]") in printed
    assert (tmp_path / "trajectories.png").exists()


@pytest.mark.parametrize(
    ("name", "module", "picture"),
    [
        ("simple_spread", team_game, "curve.png"),
        ("tic_tac_toe", board_game, "curve.png"),
        ("carry", grid_game, "curve.png"),
        ("stag_hunt", matrix_game, "trajectories.png"),
    ],
)
def test_ctrl_c_keeps_what_was_learned(name, module, picture, short, tmp_path, capsys, monkeypatch):
    class Impatient(module.tqdm):
        def update(self, n=1):
            if self.n > 60:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(module, "tqdm", Impatient)
    monkeypatch.setattr(board_game, "N_GAMES", 4)
    monkeypatch.setattr(board_game, "N_MATCHES", 3)
    short(name, **({"n_steps": 4} if name in ("simple_spread", "tic_tac_toe") else {}))
    assert main(["multi-agent", name, "-n", "100000", "--n-envs", "4", "--output", str(tmp_path)]) == 130
    assert list(tmp_path.glob("model_*.zip"))
    assert (tmp_path / picture).exists()


def test_the_model_that_ships_is_measured_and_filmed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(board_game, "N_MATCHES", 2)
    assert main(["multi-agent", "connect_four", "--shipped"]) == 0
    assert "one-ply" in capsys.readouterr().out
    assert is_film(tmp_path / "runs/multi_agent/connect_four/play.gif")
