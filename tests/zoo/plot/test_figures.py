"""Pictures: all of them are drawn, whatever the names, and they follow the page's colours."""

import html
import re
from dataclasses import replace

import numpy as np

from sb3_ext.zoo.plot import figures
from sb3_ext.zoo.plot.comparison import compare


def compared(runs):
    return compare(runs, lambda run: run.algo, "iqm", {}, 0, [])


def test_there_is_a_picture_of_everything(many):
    assert set(figures.pictures(compared(many))) == {
        "curve-CartPole-v1", "curve-sb3_ext-Maze-v0", "scores-CartPole-v1", "scores-sb3_ext-Maze-v0",
        "measures", "profiles", "improvement",
    }  # fmt: skip


def test_what_is_not_there_is_not_drawn(run):
    lone = run()
    assert set(figures.pictures(compared([lone]))) == {
        "curve-CartPole-v1",
        "scores-CartPole-v1",
        "measures",
        "profiles",
    }
    empty = replace(lone, log=lone.log._replace(timesteps=np.empty(0), returns=np.empty(0)))
    assert set(figures.pictures(compared([empty]))) == {"scores-CartPole-v1"}


def test_any_name_can_be_drawn(run, tmp_path, recwarn):
    names = ["_hidden", "a$b_c$", "<b>&", "[bold]", "%s {}", "x" * 300, "\u65e5\u672c"]
    found = compared([run(name, number=number, score=number) for name in names for number in range(2)])
    for key, figure in figures.pictures(found).items():
        figures.write_png(figure, tmp_path / f"{key}.png")
        text = figures.svg(figure, key)
        assert [name for name in names if html.escape(name[:7], quote=False) not in text] == []
    assert [str(warning.message) for warning in recwarn] == []


def test_a_label_looks_the_same_in_every_picture(many):
    found = compared(many)
    drawn = figures.pictures(found)
    for name in ("curve-CartPole-v1", "profiles"):
        colors = [line.get_color() for line in drawn[name].axes[0].lines]
        assert colors == [figures.look_of(found, label)[0] for label in found.labels]
    assert len({figures.look_of(found, label) for label in found.labels}) == 2


def test_28_labels_look_different(run):
    found = compared([run(f"idea{i}x") for i in range(28)])
    assert len({figures.look_of(found, label) for label in found.labels}) == 28


def test_the_band_of_few_runs_does_not_decide_the_axis(run):
    runs = [run(number=i, score=score) for i, score in enumerate([50.0, 100.0, 150.0])]
    found = compared(runs)
    (axes,) = figures.draw_curves(found, "CartPole-v1").axes
    assert found.curves["CartPole-v1"]["ppo"].high.max() > 200
    assert axes.get_ylim()[1] < 160
    assert len(axes.collections) == 1
    (axes,) = figures.draw_curves(compared(runs[:2]), "CartPole-v1").axes
    assert len(axes.collections) == 0  # no band of two


def test_pictures_take_their_colours_from_the_page(many):
    for name, figure in figures.pictures(compared(many)).items():
        text = figures.svg(figure, name)
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", text)) <= {"none", *map("var({})".format, set(
            figures.PAGE_COLORS.values()))}, name  # fmt: skip
        assert "var(--c1)" in text
        assert "http" not in text.replace("http://www.w3.org/", "")


def test_ids_of_different_pictures_differ(many):
    drawn = figures.pictures(compared(many))
    ids = [re.findall(r' id="([^"]+)"', figures.svg(figure, name)) for name, figure in drawn.items()]
    assert len({each for group in ids for each in group}) == sum(map(len, ids)) > 0


def test_the_same_picture_is_the_same_file(many, tmp_path):
    found = compared(many)
    for name in ("one", "two"):
        figures.write_png(figures.draw_profiles(found), tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert figures.svg(figures.draw_profiles(found), "a") == figures.svg(figures.draw_profiles(found), "a")


def test_settings_of_the_process_stay_as_they_are(many):
    import matplotlib as mpl

    before = {name: mpl.rcParams[name] for name in (*figures.LOOK, "svg.hashsalt")}
    figures.svg(figures.draw_profiles(compared(many)), "a")
    assert {name: mpl.rcParams[name] for name in before} == before
