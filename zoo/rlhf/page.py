"""One self-contained page of what a run found: HTML with the pictures inside."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sb3_ext.zoo.rlhf.drawing import draw_calibration, draw_frontier, draw_hacking, draw_learning
from sb3_ext.zoo.rlhf.gauge import N_TEXTS
from sb3_ext.zoo.rlhf.hacking import FAR
from sb3_ext.zoo.rlhf.pipeline import Run

STYLE = """body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
img { max-width: 100% }
.wrong { color: #b22 }
.samples td { text-align: left; font-family: monospace }"""
REWARD_TEXT = {
    "learned": "a reward model, fitted to the judge's preferences",
    "classifier": "a classifier that was shown which texts are good; it judges DPO's pairs too",
    "true": "the judge's own score",
}


def page(run: Run) -> str:
    """The whole page as HTML."""
    numbers = "exact sums over every response" if run.exact else f"means over {N_TEXTS} texts"
    task = ", ".join([run.recipe.task, *(f"{name} {value}" for name, value in run.recipe.sizes.items())])
    parts = [
        f"<h1>RLHF on {html.escape(task)}</h1>",
        _paragraph(
            f"Optimised: {REWARD_TEXT[run.reward]}. β = {run.beta:g} log-odds, seed {run.seed}, "
            f"{sum(run.seconds.values()):.0f} seconds. Numbers are {numbers}."
        ),
        "" if run.finished else _paragraph(f"The run ended early, after: {', '.join(run.seconds)}."),
        table(("", "true reward", "right answers", "score", "KL(π‖ref)", *optimum_columns(run)), comparison(run)),
        _picture(draw_learning(run), "learning curves"),
    ]
    if run.histories:
        parts += [
            "<h2>What it costs</h2>",
            _paragraph("The grey line is the best true reward that any policy has at that distance from the reference.")
            if run.frontier
            else "",
            _picture(draw_frontier(run), "true reward over distance"),
        ]
    if run.calibration is not None and run.accuracy is not None:
        ours, of_judge = run.accuracy
        parts += [
            "<h2>Reward model</h2>",
            _paragraph(
                f"On pairs it has not seen it agrees with the judge in {100 * ours:.1f} % of cases; who knows the "
                f"judge's score agrees in {100 * of_judge:.1f} %."
            ),
            _picture(draw_calibration(run.calibration), "calibration"),
        ]
    if run.curves:
        parts += [
            "<h2>Over-optimisation</h2>",
            _paragraph(
                "Reward models of 300 pairs, optimised ever further: the learned score rises, the true reward turns. "
                + ("Solid: the exact optimum for smaller and smaller β. " if run.exact else "")
                + "Dashed: PPO with hardly any penalty."
            ),
            _picture(draw_hacking(run.curves), "over-optimisation"),
            table(("", "highest true reward", "at √KL", f"true reward at √KL = {FAR}"), peaks(run)),
        ]
    if run.histories:
        parts += ["<h2>Responses</h2>", _samples(run)]
    parts += ["<h2>Seconds</h2>", table(("stage", "seconds"), _seconds(run))]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>RLHF: {html.escape(task)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def write_page(run: Run, folder: Path) -> Path:
    """Writes ``rlhf-<task>-<reward>.html``, with ``-unfinished`` if the run ended early; returns where."""
    file = folder / f"rlhf-{run.recipe.task}-{run.reward}{'' if run.finished else '-unfinished'}.html"
    file.write_text(page(run), encoding="utf-8")
    return file


def optimum_columns(run: Run) -> tuple[str, ...]:
    """Names of the columns that only an enumerable task has."""
    if not run.exact:
        return ()
    return ("KL(π‖π*)",) if run.reward == "true" else ("KL(π‖π*) of the score", "KL(π‖π*) of the judge")


def comparison(run: Run) -> list[tuple[str, ...]]:
    """A row of numbers for each policy."""
    rows = []
    for name, history in run.histories.items():
        last = history[-1]
        numbers = [last.reward, last.success, last.score, last.kl, last.kl_to_optimum, last.kl_to_true_optimum]
        rows.append((name, *(f"{number:.3f}" for number in numbers[: 4 + len(optimum_columns(run))])))
    return rows


def peaks(run: Run) -> list[tuple[str, ...]]:
    """For each curve: where the true reward is highest, and how much is left far from the reference."""
    rows: list[tuple[str, ...]] = []
    for curve in run.curves:
        far = curve.reward_at(FAR)
        row = (
            f"{curve.peak.reward:.3f}",
            f"{max(curve.peak.kl, 0) ** 0.5:.2f}",
            "-" if np.isnan(far) else f"{far:.3f}",
        )
        rows.append((curve.name, *row))
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table."""
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _samples(run: Run) -> str:
    names = list(run.samples)
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in ("prompt", *names))]
    for row in zip(*run.samples.values(), strict=True):
        cells = "".join(
            f'<td class="{"right" if right else "wrong"}">{html.escape(text) or "∅"}</td>' for _, text, right in row
        )
        lines.append(f"<td>{html.escape(row[0][0])}</td>{cells}")
    return '<table class="samples">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _seconds(run: Run) -> list[tuple[str, str]]:
    return [(name, f"{seconds:.1f}") for name, seconds in run.seconds.items()]


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _picture(figure: Figure, alternative: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f'<img alt="{alternative}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
