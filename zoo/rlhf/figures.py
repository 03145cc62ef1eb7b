"""Measures the figures of RLHF with several seeds, keeps them, prints tables and draws."""

import argparse
import os
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from sb3_ext.zoo.figures import Result, read, write
from sb3_ext.zoo.parallel import run_parallel
from sb3_ext.zoo.rlhf.measures import (
    ENUMERABLE,
    EXACT_METHODS,
    NETS,
    VERIFIED,
    VERIFIED_METHODS,
    Job,
    all_figures,
    measure,
)
from sb3_ext.zoo.statistics import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERRUPTED = "interrupted; what is finished is kept: the same command goes on there"
Results = dict[tuple[str, int], Result]


def measure_figures(sections: list[str], options: argparse.Namespace) -> int:
    """Measure what is missing, then report all there is; 130 if interrupted."""
    console, file = Console(), options.output / "rlhf.csv"
    results = read(file)
    finished = complete([job for section in sections for job in jobs(section, options.seeds)], results, options)
    for section in sections:
        console.print(TABLES[section](results))
    image = draw_accuracy(results)
    if "accuracy" in sections and image is not None:
        image.savefig(options.output / "rlhf-accuracy.png", dpi=120)
        console.print(
            f"picture  {os.path.relpath(options.output / 'rlhf-accuracy.png')}", highlight=False, soft_wrap=True
        )
    console.print(f"results  {os.path.relpath(file)}", highlight=False, soft_wrap=True)
    if not finished:
        console.print(INTERRUPTED)
    return 0 if finished else 130


def jobs(section: str, n_seeds: int) -> list[Job]:
    """Every seed of every figure of a section, seed by seed."""
    return [Job(figure, seed) for seed in range(n_seeds) for figure in all_figures(section)]


def complete(wanted: list[Job], results: Results, options: argparse.Namespace) -> bool:
    """Measure what is missing, and keep it; False if interrupted."""
    missing = [job for job in wanted if not is_done(job, results)]
    fast = [job for job in missing if not job.figure.startswith("cache")]
    timed = [job for job in missing if job.figure.startswith("cache")]  # beside nothing else
    try:
        for some, n_processes in ((fast, options.jobs), (timed, 1)):
            for found in run_parallel(measure, some, n_processes, len(some), unit="run"):
                results.update({(result.figure, result.seed): result for result in found})
                write(options.output / "rlhf.csv", results)
    except KeyboardInterrupt:
        return False
    return True


def is_done(job: Job, results: Results) -> bool:
    """Whether there are results with these very settings."""
    own = [each for (figure, seed), each in results.items() if figure.startswith(f"{job.figure}:") and seed == job.seed]
    return bool(own) and all(result.settings == job.settings for result in own)


# ---- Tables ---------------------------------------------------------------------------------------------------------


def values(results: Results, figure: str) -> np.ndarray:
    """A figure's value of each seed."""
    return np.array([result.value for (name, _), result in sorted(results.items()) if name == figure])


def cell(results: Results, figure: str, digits: int = 3) -> str:
    """Interquartile mean and interval, lowest and highest seed; "-" if a seed has no number."""
    found = values(results, figure)
    if not len(found) or np.isnan(found).any():
        return "-"
    seen = interval(found)
    inside = "" if len(found) < 2 else f" ({seen.low:.{digits}f} to {seen.high:.{digits}f})"
    return f"{seen.estimate:.{digits}f}{inside}, {found.min():.{digits}f} to {found.max():.{digits}f}"


def accuracy_table(results: Results) -> Table:
    """Right answers before and after."""
    title = "share of right answers, all prompts: interquartile mean (interval), lowest to highest seed"
    lines = Table("task", "policy", "drawn", "most probable", "seeds", title=title)
    for task in VERIFIED:
        for method in VERIFIED_METHODS:
            for name in ("SFT", "after") if method == VERIFIED_METHODS[0] else ("after",):
                figure = f"accuracy:{task}:{method}:{name}"
                cells = [cell(results, f"{figure}, {way}") for way in ("drawn", "greedy")]
                n_seeds = str(len(values(results, f"{figure}, drawn")))
                lines.add_row(task, "SFT" if name == "SFT" else method, *cells, n_seeds)
    return lines


def exact_table(results: Results) -> Table:
    """How near each method comes to the optimum."""
    title = (
        f"sort, 4 prompts x 40 responses, beta {ENUMERABLE.beta:g}: interquartile mean (interval), lowest to highest"
    )
    lines = Table("method", "KL(pi || pi*), nats", "objective", "best", "KL(pi || ref)", "seeds", title=title)
    first = f"exact:{ENUMERABLE.task}:{EXACT_METHODS[0]}"
    lines.add_row("SFT", cell(results, f"{first}:KL to the optimum, SFT"), "", "", "0", "")
    for method in EXACT_METHODS:
        figure = f"exact:{ENUMERABLE.task}:{method}"
        names = ("KL to the optimum", "objective", "objective, best", "KL to the reference")
        cells = [cell(results, f"{figure}:{name}") for name in names]
        lines.add_row(method, *cells, str(len(values(results, f"{figure}:objective"))))
    return lines


def hacking_table(results: Results) -> Table:
    """Where the true reward peaks, and what is left far away."""
    from sb3_ext.zoo.rlhf.hacking import COMBINED, FAR

    title = (
        "true reward of a learned score's exact optimum (300 pairs): interquartile mean (interval), lowest to highest"
    )
    lines = Table("score", "highest true reward", "at sqrt KL", f"true reward at sqrt KL = {FAR}", title=title)
    figure = "hacking:sort:reward models"
    lines.add_row("SFT", cell(results, f"{figure}:SFT"), "0", "")
    for name in COMBINED:
        columns = ("peak", "distance of the peak", "far")
        lines.add_row(name, *(cell(results, f"{figure}:{name}, {column}") for column in columns))
    return lines


def cache_table(results: Results) -> Table:
    """Generation with and without the cache."""
    title = "writing 64 texts of 64 tokens, one thread: median (lowest to highest)"
    lines = Table("network", "tokens/s with cache", "without", "ratio", title=title)
    for net in NETS:
        cells = []
        for name, form in (("with", ",.0f"), ("without", ",.0f"), ("ratio", ".1f")):
            found = values(results, f"cache:generation:{net}:{name}")
            spread = f"{np.median(found):{form}} ({found.min():{form}} to {found.max():{form}})" if len(found) else "-"
            cells.append(spread)
        lines.add_row(net, *cells)
    return lines


TABLES = {"accuracy": accuracy_table, "exact": exact_table, "hacking": hacking_table, "cache": cache_table}


def draw_accuracy(results: Results) -> "Figure | None":
    """A dot for each seed: SFT, PPO and GRPO on both tasks; None without results."""
    from matplotlib.figure import Figure

    names = [("SFT", f"{VERIFIED_METHODS[0]}:SFT"), *((method, f"{method}:after") for method in VERIFIED_METHODS)]
    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(VERIFIED), sharey=True), VERIFIED, strict=True):
        for place, (_, middle) in enumerate(names):
            found = values(results, f"accuracy:{task}:{middle}, drawn")
            if not len(found):
                return None
            axes.plot(np.full(len(found), place), found, "o", color=f"C{place}", alpha=0.6)
        axes.axhline(0.95, color="0.5", linestyle="--", linewidth=1)
        axes.set(title=task, xticks=range(len(names)), xticklabels=[name for name, _ in names], ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("right answers, drawn")
    return figure
