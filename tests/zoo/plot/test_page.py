"""The page: whole in itself, problems first, every picture explained, and it fits a phone and the dark."""

import html
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sb3_ext.zoo import statistics
from sb3_ext.zoo.plot import figures
from sb3_ext.zoo.plot.comparison import compare
from sb3_ext.zoo.plot.page import Told, page


def told(runs, problems=(), measure="iqm"):
    """The page of these runs, algorithms compared."""
    found = compare(runs, lambda run: run.algo, measure, {}, 0, list(problems))
    labelled = [(run.algo, run) for run in runs]
    return page(found, Told(labelled, problems, "algorithm", "sb3-ext plot logs"), figures.pictures(found))


@pytest.fixture
def whole(many):
    return told(many)


def text_of(page):
    """What a person reads."""
    return " ".join(html.unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)).split())


class Tags(HTMLParser):
    """Checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_well_formed(whole):
    tags = Tags()
    tags.feed(whole)
    assert tags.open == []
    assert {"svg", "table", "figcaption", "section"} <= tags.seen


def test_it_needs_no_other_file(whole):
    assert not re.search(r"<(script|link|img|iframe|object)|\bsrc=|@import|url\((?!#)|@font-face", whole)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', whole))
    anchors = re.findall(r'<a href="#([^"]*)"', whole)
    assert len(anchors) == 2
    assert all(f'id="{anchor}"' in whole for anchor in anchors)


def test_problems_come_first_and_all_of_them(many):
    problems = [f"run {i} <crashed>" for i in range(30)]
    written = told(many, problems)
    for problem in problems:
        assert 0 < written.index(html.escape(problem)) < written.index("<svg")
    assert "Nothing is missing" not in written


def test_without_problems_it_says_so(whole):
    assert "Nothing is missing or damaged in the data." in whole
    assert "Problems in the data" not in whole


def test_every_picture_is_explained(whole):
    captions = re.findall(r"<figure.*?</svg><figcaption>(.*?)</figcaption>", whole, flags=re.DOTALL)
    assert len(captions) == whole.count("<svg ") == 7
    for caption in captions:
        assert caption.endswith(".")
        assert "interval" in caption or "chance" in caption


def test_numbers_are_those_of_the_comparison(many):
    written = text_of(told(many, measure="mean"))
    scores = [run.log.score for run in many if (run.algo, run.env) == ("dqn", "CartPole-v1")]
    low, high = statistics.interval(np.array(scores), statistics.mean)[1:]
    assert f"dqn {np.mean(scores):.4g} {low:.4g} to {high:.4g}" in written
    (pair,) = compare(many, lambda run: run.algo, "mean", {}, 0, []).pairs
    estimate, low, high = pair.interval
    assert f"ppo dqn {estimate:.0%} {low:.0%} to {high:.0%} hardly chance" in written


def test_it_tells_how_often_intervals_hold_with_so_few_runs(whole, run):
    assert f"The fewest runs here are 5: {statistics.COVERAGE['iqm'][5][0]}" in text_of(whole)
    assert f"{statistics.COVERAGE['mean'][3][0]} to {statistics.COVERAGE['mean'][3][1]}" in text_of(whole)
    assert "The fewest runs here are 2: take at least five" in text_of(told([run(number=1), run(number=2)]))


def test_names_cannot_inject_anything(run):
    name = "<script>alert(1)</script>"
    written = told([run(name, env=f"{name}-v0", name=name, number=i) for i in range(3)], [name])
    assert "<script" not in written
    assert text_of(written).count(name) > 5


def test_the_same_runs_give_the_same_page(many):
    assert told(many) == told(list(reversed(many)))


# ---- In a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def chromium(tmp_path):
    """Run headless Chromium on a page. Without one installed the test is skipped, but in CI it fails."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Chromium: apt-get install chromium")

    def run(file, *options):
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout

    return run


def test_it_fits_a_phone(many, run, chromium, tmp_path):
    """Only tables may be scrolled sideways, within themselves."""
    wide = [run(f"a_long_name_of_an_experiment_{i}_and_so_on", number=n) for i in range(5) for n in (1, 2)]
    wide += [run(each.algo, "sb3_ext/Maze-v0", each.log.length, name=each.name) for each in wide]
    inner = html.escape(told([*many, *wide], ["/a/path/that/is/long" * 9]))
    script = (
        "onload = () => { const page = document.querySelector('iframe').contentDocument.documentElement;"
        " document.title = `${page.scrollWidth} of ${page.clientWidth}, ${page.scrollHeight} high` }"
    )
    outer = tmp_path / "outer.html"
    outer.write_text(f'<iframe width="360" height="640" srcdoc="{inner}"></iframe><script>{script}</script>')
    width, available, height = map(
        int, re.findall(r"\d+", re.search("<title>(.*)</title>", chromium(outer, "--dump-dom"))[1])
    )
    assert width == available <= 360
    assert height > 3000


@pytest.mark.parametrize(("scheme", "paper"), [(1, 255), (0, 25)])
def test_it_follows_dark_mode(scheme, paper, whole, chromium, tmp_path):
    """Corner and ink of the page are those of the scheme, and so are pictures: nothing in them is of the other one."""
    (tmp_path / "page.html").write_text(whole, encoding="utf-8")
    shot = tmp_path / "shot.png"
    chromium(tmp_path / "page.html", f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}",
             "--window-size=1280,1400")  # fmt: skip
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels[2, 2] == paper
    assert (pixels == paper).mean() > 0.6
    assert 0.005 < (np.abs(pixels.astype(int) - paper) > 180).mean() < 0.2
