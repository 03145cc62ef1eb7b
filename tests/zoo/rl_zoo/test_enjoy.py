"""``sb3-ext enjoy`` and ``record-video``: without a screen there is a film, and it shows the trained agent."""

import imageio_ffmpeg
import pytest

from sb3_ext.zoo.rl_zoo import has_screen

TRAIN = "train --algo q_learning --env sb3_ext/GridWorld-v0 -n 100000 --eval-freq 50000 --seed 0"
GRID = "--algo q_learning --env sb3_ext/GridWorld-v0"
FOLDER = "logs/q_learning/sb3_ext-GridWorld-v0_1"
FILM = "final-model-q_learning-sb3_ext-GridWorld-v0-step-0-to-step-{}.mp4"


def frames_of(path) -> int:
    return imageio_ffmpeg.count_frames_and_secs(path)[0]


def test_enjoy_and_record_video(sb3_ext, tmp_path):
    trained, watched, counted, best, recorded = sb3_ext(
        TRAIN,
        f"enjoy {GRID} -n 30",
        f"enjoy {GRID} -n 31 --no-render",
        f"enjoy {GRID} -n 20 --load-best",
        f"record-video {GRID} -n 25 -o films",
    )
    assert trained[0] == 0, trained[1]

    film = tmp_path / FOLDER / "videos" / FILM.format(30)
    assert watched[0] == 0, watched[1]
    assert "no screen here: a film is written instead" in watched[1]
    assert watched[1].rstrip().endswith(f"film  {film}")
    assert frames_of(film) == pytest.approx(31, abs=1)  # the start and 30 steps
    assert "Mean reward" in watched[1]

    assert counted[0] == 0, counted[1]
    assert "film" not in counted[1]
    assert not (film.parent / FILM.format(31)).exists()

    assert best[0] == 0, best[1]
    assert "best_model.zip" in best[1]
    assert (film.parent / FILM.format(20).replace("final", "best")).is_file()

    assert recorded[0] == 0, recorded[1]
    assert recorded[1].rstrip().endswith(f"film  {tmp_path / 'films' / FILM.format(25)}")
    assert frames_of(tmp_path / "films" / FILM.format(25)) == pytest.approx(26, abs=1)


def test_the_latest_run_that_has_a_model_is_played(sb3_ext, tmp_path):
    """A training whose set-up failed leaves a folder behind."""
    first, second, failed, played, other = sb3_ext(
        TRAIN,
        TRAIN,
        f"train {GRID} -params gamma:2",
        f"enjoy {GRID} --no-render -n 20",
        f"enjoy {GRID} --no-render -n 20 --exp-id 3",
    )
    assert (first[0], second[0], failed[0]) == (0, 0, 2)
    assert (tmp_path / FOLDER.replace("_1", "_3")).is_dir()
    assert played[0] == 0, played[1]
    assert f"{FOLDER.replace('_1', '_2')}/sb3_ext-GridWorld-v0.zip" in played[1]
    assert other[0] == 2
    assert "No model found" in other[1]


def test_the_environment_is_the_one_of_the_training(sb3_ext, tmp_path):
    (tmp_path / "my.yml").write_text(
        "FrozenLake-v1:\n  n_timesteps: 200000\n  policy: TabularPolicy\n"
        "  env_kwargs: {is_slippery: false, map_name: 8x8}\n"
    )
    trained, watched, recorded = sb3_ext(
        "train --algo q_learning --env FrozenLake-v1 -conf my.yml --eval-freq -1 --seed 0",
        "enjoy --algo q_learning --env FrozenLake-v1 -n 140 --no-render",
        "record-video --algo q_learning --env FrozenLake-v1 -n 6",
    )
    assert [status for status, _ in (trained, watched, recorded)] == [0, 0, 0], (watched, recorded)
    assert "10 Episodes\nMean reward: 1.00 +/- 0.00\nMean episode length: 14.00 +/- 0.00" in watched[1]


def test_what_draws_no_pictures(sb3_ext):
    bandit = "--algo q_learning --env sb3_ext/Bandit-v0"
    trained, watched, recorded = sb3_ext(
        f"train {bandit} -n 100 --eval-freq -1", f"enjoy {bandit} -n 5", f"record-video {bandit} -n 5"
    )
    assert trained[0] == 0, trained[1]
    assert watched[0] == 0, watched[1]
    assert "no screen here: nothing is shown" in watched[1]
    assert recorded[0] == 2
    assert "sb3_ext/Bandit-v0 draws no pictures" in recorded[1]


def test_a_screen_is_one_that_the_variables_name(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_screen()
