"""``sb3-ext book``: what it prints, writes, and keeps when it is interrupted."""

import csv
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.book import command, references


def lines(folder):
    with (folder / "book.csv").open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def is_a_picture(path):
    pixels = np.asarray(Image.open(path).convert("L"))
    return pixels.shape[0] > 300 and pixels.shape[1] > 500 and np.unique(pixels).size > 10


def test_two_figures_are_measured_drawn_and_written(tmp_path, capsys):
    assert main(["book", "example-6.5", "figure-4.3", "--runs", "5", "--output", str(tmp_path), "--jobs", "1"]) == 0
    shown = capsys.readouterr().out
    for text in ("figure-4.3", "example-6.5", "0.16 (exact)", "15 (book)", "±", str(tmp_path / "book.csv")):
        assert text in shown
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.csv", "example-6.5.png", "figure-4.3.png"]
    assert is_a_picture(tmp_path / "example-6.5.png")
    assert is_a_picture(tmp_path / "figure-4.3.png")
    written = lines(tmp_path)
    assert [line["figure"] for line in written] == ["figure-4.3"] * 4 + ["example-6.5"] * 4
    assert {line["n_runs"] for line in written if line["figure"] == "example-6.5"} == {"1", "5"}


def test_measuring_again_replaces_a_figures_rows_and_leaves_the_others(tmp_path):
    for arguments in (["figure-4.3", "example-6.5", "--runs", "3"], ["example-6.5", "--runs", "4"]):
        assert main(["book", *arguments, "--output", str(tmp_path)]) == 0
    written = lines(tmp_path)
    assert len(written) == 8
    assert {line["n_runs"] for line in written if line["figure"] == "example-6.5"} == {"1", "4"}
    assert written == [{key: "" if value is None else str(value) for key, value in line._asdict().items()}
                       for line in command.read(tmp_path / "book.csv")]  # fmt: skip


def test_list_names_every_figure_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["book", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in command.NAMES)
    assert "the cliff" in shown
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_those_of_the_figures():
    assert tuple(references.all_figures()) == command.NAMES
    assert len(command.NAMES) == 16


@pytest.mark.parametrize("name", references.PREDICTION_ROWS)
def test_rows_of_the_figures_on_prediction(name):
    measure, _, rows_of = references.all_figures()[name]
    rows = rows_of(measure(n_runs=4))
    assert len(rows) >= 2
    for row in rows:
        assert row.n_runs == 4
        assert row.standard_error > 0
        if row.reference is not None:  # four runs say little, and may seem more certain than they are
            assert row.measured == pytest.approx(row.reference, rel=0.5), row.what


def test_help_is_light_and_has_examples(tmp_path):
    script = """
import sys
from sb3_ext.zoo.__main__ import main
try:
    main(["book", "--help"])
except SystemExit as ended:
    heavy = {"numba", "torch", "matplotlib", "stable_baselines3"} & set(sys.modules)
    print("loaded:", sorted(heavy))
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "loaded: []" in shown.stdout
    assert "sb3-ext book example-6.6 figure-6.5" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["figure-1.1"],
        ["--runs", "1"],
        ["--runs", "many"],
        ["--jobs", "0"],
        ["figure-4.3", "--output", __file__],
    ],
)
def test_bad_arguments_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["book", *arguments])
    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize("text", ["figure,what\nfigure-4.3,x\n", "figure,what,measured\na,b,c,d,e\n"])
def test_a_file_of_somebody_else_is_left_alone(text, tmp_path, capsys):
    (tmp_path / "book.csv").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["book", "figure-4.3", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert "book.csv was not written by this version" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["book.csv"]
    assert (tmp_path / "book.csv").read_text() == text


def test_ctrl_c_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    figures = references.all_figures()

    def interrupted(n_runs=2):
        raise KeyboardInterrupt

    figures["example-6.5"] = (interrupted, *figures["example-6.5"][1:])
    monkeypatch.setattr(references, "all_figures", lambda: figures)
    assert main(["book", "figure-4.3", "example-6.5", "--output", str(tmp_path)]) == 130
    assert "1 of 2 figures are finished" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.csv", "figure-4.3.png"]
    assert {line["figure"] for line in lines(tmp_path)} == {"figure-4.3"}


@pytest.mark.slow
def test_a_real_ctrl_c_in_the_middle_of_a_sweep(tmp_path, popen):
    run = [sys.executable, "-m", "sb3_ext.zoo", "book", "figure-4.3", "figure-6.3", "--runs", "100000", "--jobs", "1"]
    with popen(
        [*run, "--output", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "book.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        shown = process.communicate(timeout=200)[0]
    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    assert "1 of 2 figures are finished" in shown
    assert (tmp_path / "figure-4.3.png").exists()


def test_numbers_are_shown_to_their_precision():
    assert command.with_error(100.0, 0.0) == "100"
    assert command.with_error(0.03812, 0.00123) == "0.0381 ± 0.0012"
    assert command.with_error(1.0, float("nan")) == "1"
