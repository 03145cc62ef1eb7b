"""One HTML page of a comparison that needs nothing else: no script, no font, no picture of another file."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from sb3_ext.zoo.plot.comparison import Comparison
from sb3_ext.zoo.plot.figures import COLORS, slug, svg
from sb3_ext.zoo.plot.readers import EPISODES
from sb3_ext.zoo.plot.runs import Run
from sb3_ext.zoo.plot.style import STYLE
from sb3_ext.zoo.statistics import COVERAGE, SIZES, Interval, measured_coverage, performance_profile

SHORT = {"iqm": "IQM", "mean": "mean"}
WHOLE = {EPISODES: "the last 100 training episodes"}
N_PROBLEMS = 10  # that are shown at once
THRESHOLDS = (0.25, 0.5, 0.75, 1.0)


class Html(str):
    """Text that is HTML already."""


class Told(NamedTuple):
    """What a page tells of beside the comparison."""

    runs: Sequence[tuple[str, Run]]
    """each with its label"""
    problems: Sequence[str]
    """of the data"""
    by: str
    """what labels are: "algorithm" or "folder" """
    command: str
    """that made the page"""


def page(found: Comparison, told: Told, pictures: Mapping[str, Figure]) -> str:
    """The page."""
    drawn = {name: Html(svg(figure, name)) for name, figure in pictures.items()}
    title = _title(found, told)
    parts = [
        f"<h1>{_safe(title)}</h1>", _lead(found, told), _problems(told.problems), _overview(found),
        *(_environment(found, told, env, drawn) for env in found.envs),
        _together(found, drawn), _how_sure(found), _all_runs(told), _made_by(told),
    ]  # fmt: skip
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{STYLE}</style>"
    )
    body = "\n".join(part for part in parts if part).replace("95 %", "95&nbsp;%")
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


# ---- Parts ----------------------------------------------------------------------------------------------------------


def _title(found: Comparison, told: Told) -> str:
    return f"{_names(found.labels, told.by)} on {_names(found.envs, 'environment')}"


def _lead(found: Comparison, told: Told) -> str:
    what = "interquartile mean (IQM), the mean of the middle half" if found.measure == "iqm" else "mean"
    numbers = (
        _count(len(told.runs), "run"),
        _count(len(found.labels), told.by),
        _count(len(found.envs), "environment"),
    )
    return _text("""{} of {} on {}. Several runs are summed up by their {}; its interval says where it would lie with
        very many runs. More return is better throughout.""", *numbers, what)  # fmt: skip


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return '<p class="fine">Nothing is missing or damaged in the data.</p>'
    lines = [f"<li>{_safe(problem)}</li>" for problem in problems]
    first, rest = ("\n".join(part) for part in (lines[:N_PROBLEMS], lines[N_PROBLEMS:]))
    more = f"<details><summary>and {len(lines) - N_PROBLEMS} more</summary><ul>{rest}</ul></details>" if rest else ""
    return f'<section class="problems"><h2>Problems in the data</h2>\n<ul>\n{first}\n</ul>{more}</section>'


def _overview(found: Comparison) -> str:
    """Environments x labels; links to the environments."""
    rows = []
    for env in found.envs:
        scores = found.scores[env]
        best = max((each.interval.estimate for each in scores.values()), default=None)
        cells = [_cell(scores[label].interval, best=best) if label in scores else "-" for label in found.labels]
        rows.append([Html(f'<a href="#{slug(env)}">{_safe(env)}</a>'), *cells])
    head = ["", *(_label(found, label) for label in found.labels)]
    reading = _text("""The {} of the runs' final scores, the best in bold, and in grey its 95 % interval: where grey
        ranges overlap, more runs might turn the order round.""", SHORT[found.measure])  # fmt: skip
    return f"<section><h2>Final scores</h2>{_table(head, rows)}{reading}</section>"


def _environment(found: Comparison, told: Told, env: str, drawn: Mapping[str, Html]) -> str:
    what, returns = SHORT[found.measure], WHOLE.get(found.drawn[env], found.drawn[env])
    curve = _picture(drawn, f"curve-{slug(env)}", f"""The higher the better: a line is the {what} over runs of the mean
        return of {returns}, and its band the 95 % interval at each point by itself.""")  # fmt: skip
    scores = _picture(drawn, f"scores-{slug(env)}", f"""Further right is better: a dot is the final score of one run
        (the mean return of {found.scored_by[env]}), the bar their {what}, the band its 95 % interval.""")  # fmt: skip
    rows = []
    for label, each in found.scores[env].items():
        lengths = [run.log.length for name, run in told.runs if name == label and run.env == env]
        rows.append([
            _label(found, label), _number(each.interval.estimate), _range(*each.interval[1:]),
            _range(each.values.min(), each.values.max()), str(len(each.values)), _range(min(lengths), max(lengths)),
        ])  # fmt: skip
    table = _table(("", what, "95 % interval", "lowest to highest", "runs", "steps"), rows)
    cards = f'<div class="cards">{curve}<div>{scores}{table if rows else ""}</div></div>'
    return f'<section id="{slug(env)}"><h2>{_safe(env)}</h2>{cards}</section>'


def _together(found: Comparison, drawn: Mapping[str, Html]) -> str:
    """Measures, profiles and probabilities of improvement, each with its table."""
    if not found.of_all:
        return ""
    ranges = [(env, _number(low), _number(high)) for env, (low, high) in found.ranges.items()]
    measures = [
        (_label(found, label), *(_cell(by_label[label], digits=3) for by_label in found.of_all.values()))
        for label in found.labels
    ]
    shares = [
        (_label(found, label), *(f"{share:.0%}" for share in performance_profile(scores, np.array(THRESHOLDS))))
        for label, scores in found.normalized.items()
    ]
    pairs = [
        (_label(found, better), _label(found, worse), f"{estimate:.0%}", f"{low:.0%} to {high:.0%}",
         "may be chance" if low <= 0.5 else "hardly chance")
        for better, worse, (estimate, low, high) in found.pairs
    ]  # fmt: skip
    parts = [
        _text("""Returns of different environments are made comparable: 0 is the lowest and 1 the highest mean over runs
            that was reached in the training or after it, unless --range says otherwise."""),
        _table(("environment", "0 is a return of", "1 is a return of"), ranges),
        '<div class="cards">',
        _picture(drawn, "measures", """The bar is the value, the band its 95 % interval: of the two means more is
            better, of the optimality gap, by how much runs stay below 1 on average, less."""),
        _table(("", *found.of_all), measures),
        _picture(drawn, "profiles", """The higher a line the better: it is the share of runs that score more than the
            value below it, and its band the 95 % interval at each value by itself."""),
        _table(("runs that score more than", *(f"{threshold:g}" for threshold in THRESHOLDS)), shares),
    ]  # fmt: skip
    if pairs:
        parts += [
            _picture(drawn, "improvement", """A bar is how often a run of the one on the right scores more than a run of
                the one on the left; where the band covers the dotted line at 50 %, that may be chance."""),
            _table(("scores more", "than", "how often", "95 % interval", ""), pairs),
        ]  # fmt: skip
    title = "All environments together" if len(ranges) > 1 else "Normalised scores"
    return f"<section><h2>{title}</h2>{''.join(parts)}</div></section>"


def _how_sure(found: Comparison) -> str:
    """The measured coverage."""
    fewest = min((len(each.values) for scores in found.scores.values() for each in scores.values()), default=0)
    here = measured_coverage(found.measure, fewest)
    said = f"{_share(here)} of 100 intervals of the {SHORT[found.measure]} hold" if here else "take at least five"
    rows = [(SHORT.get(kind, kind), *map(_share, sizes.values())) for kind, sizes in COVERAGE.items()]
    parts = [
        _text("""A 95 % interval should hold the truth 95 times in a hundred. On simulated scores, whose truth is known,
            it did so as often as this table says, from the worst to the best kind of scores. The fewest runs here are
            {}: {}.""", str(fewest), said),
        _table(("of 100 intervals hold, with", *(f"{size} runs" for size in SIZES)), rows),
        _text("""No interval knows of what none of its runs has met: where one run in five fails, three runs all succeed
            half of the time, and then look certain."""),
    ]  # fmt: skip
    return f"<section><h2>How sure are the intervals?</h2>{''.join(parts)}</section>"


def _all_runs(told: Told) -> str:
    rows = [
        (run.env, label, run.name, _number(run.log.length), "-" if run.log.score is None else _number(run.log.score),
         run.log.scored_by, str(run.place))
        for label, run in sorted(told.runs, key=lambda pair: (pair[1].env, pair[0], str(pair[1].place)))
    ]  # fmt: skip
    table = _table(("environment", told.by, "run", "steps", "final score", "mean return of", "found in"), rows)
    return f"<section><details><summary>All {len(rows)} runs</summary>{table}</details></section>"


def _made_by(told: Told) -> str:
    from sb3_ext import __version__

    made = _text("Made by {}, sb3-ext {}.", Html(f"<code>{_safe(told.command)}</code>"), __version__)
    methods = _text("""Measures: Agarwal et al., 2021, Deep RL at the Edge of the Statistical Precipice. Intervals:
        stratified bootstrap with Student's quantile; improvement by Newcombe, 2006; profiles by Wilson, 1927. Colours:
        Okabe and Ito, 2008.""")  # fmt: skip
    return f"<footer>{made}{methods}</footer>"


# ---- Pieces ---------------------------------------------------------------------------------------------------------


def _text(words: str, *values: str) -> str:
    """A paragraph; what is put in for {} is made safe."""
    return f"<p>{' '.join(words.split()).format(*map(_safe, values))}</p>"


def _picture(drawn: Mapping[str, Html], name: str, words: str) -> str:
    """A picture and how it is read; nothing if it was not drawn."""
    if name not in drawn:
        return ""
    reading = _safe(" ".join(words.split()))
    return f'<figure role="img" aria-label="{reading}">{drawn[name]}<figcaption>{reading}</figcaption></figure>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{_safe(cell)}</th>" for cell in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{titles}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def _label(found: Comparison, label: str) -> Html:
    color = found.labels.index(label) % len(COLORS)
    dot = f'<span class="dot" style="background:var(--c{color})"></span>'
    return Html(f'<span class="name">{dot}{_safe(label)}</span>')


def _cell(found: Interval, best: float | None = None, digits: int = 4) -> Html:
    text = _number(found.estimate, digits)
    bold = f"<b>{text}</b>" if found.estimate == best else text
    return Html(f"{bold}<br><small>{_range(found.low, found.high, digits)}</small>")


def _safe(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(text)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _names(names: Sequence[str], noun: str) -> str:
    if len(names) > 3:
        return _count(len(names), noun)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _number(value: float, digits: int = 4) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}").replace("-", "\N{MINUS SIGN}")


def _range(low: float, high: float, digits: int = 4) -> str:
    """From, to; one number if both are the same, a dash if they are not finite."""
    ends = [_number(end, digits) for end in (low, high)]
    return "-" if not np.isfinite(low) else ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _share(ends: tuple[int, int]) -> str:
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
