"""Ways to learn one cooperative game, on equal steps and several seeds, beside random play and PettingZoo's tutorial.

A run is kept in ``OUTPUT/WAY/SEED.json`` and not done again; with other settings it is.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from sb3_ext.multi_agent import evaluate_multi_agent
from sb3_ext.zoo.curves import draw_runs, label_axes
from sb3_ext.zoo.multi_agent.examples import EXAMPLES, TUTORIAL, Example
from sb3_ext.zoo.multi_agent.training import Trained, train, tutorial, with_options
from sb3_ext.zoo.parallel import count, run_parallel
from sb3_ext.zoo.statistics import interval
from sb3_ext.zoo.training import EVALUATION_SEED, SPACING

N_EPISODES = 100  # of a run's evaluation


class Job(NamedTuple):
    """One run."""

    name: str
    way: str
    seed: int
    n_steps: int
    """of the environment"""
    n_episodes: int
    """of the evaluation"""
    file: Path

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain data."""
        example = EXAMPLES[self.name]
        models = example.ways.get(self.way, {"*": TUTORIAL} if self.way == "tutorial" else {})
        recipes = {pattern: asdict(recipe) for pattern, recipe in models.items()}
        return json.loads(
            json.dumps({"recipes": recipes, "n_steps": self.n_steps, "n_episodes": self.n_episodes}, default=str)
        )

    def read(self) -> dict[str, Any] | None:
        """The finished run; None if there is none with these settings."""
        try:
            found = json.loads(self.file.read_text())
            return found if found["settings"] == self.settings() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def run_one(job: Job) -> Job:
    """Trains and evaluates, and writes the file as a whole."""
    example = EXAMPLES[job.name]
    seed = SPACING * job.seed
    if job.way == "random":
        trained = Trained({"*": "random"}, {team: ([], []) for team in example.teams})  # type: ignore[dict-item]
    elif job.way == "tutorial":
        trained = tutorial(example, job.n_steps, seed, count)
    else:
        trained = train(example, job.way, with_options(example.ways[job.way], job.n_steps, None), seed, count)
    agents = example.make_env().possible_agents
    players = {agent: trained.player_of(agent) for agent in agents}
    result = evaluate_multi_agent(players, example.make_env, job.n_episodes, EVALUATION_SEED + seed)
    (steps, returns), *_ = trained.curves.values()
    score = float(result.returns.sum(axis=1).mean())
    job.file.parent.mkdir(parents=True, exist_ok=True)
    partial_file = job.file.with_suffix(".partial")
    partial_file.write_text(
        json.dumps({"settings": job.settings(), "score": score, "steps": steps, "returns": returns})
    )
    os.replace(partial_file, job.file)
    return job


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """Does what is missing, then draws and prints all.

    Raises:
        ValueError: For an example with one way to learn only.
    """
    if len(example.ways) < 2 or len(example.teams) > 1:
        comparable = [other for other, e in EXAMPLES.items() if len(e.ways) > 1 and len(e.teams) == 1]
        raise ValueError(f"{name} has one way to learn; --compare is for {', '.join(comparable)}")
    n_steps = options.n_timesteps or next(iter(example.ways["shared"].values())).n_timesteps
    ways = [*example.ways, "tutorial", "random"]
    planned = [
        Job(name, way, seed, n_steps, N_EPISODES, options.output / "compare" / way / f"{seed}.json")
        for seed in range(options.seed, options.seed + options.seeds)
        for way in ways
    ]
    missing = [job for job in planned if job.read() is None]
    n_training = sum(job.way != "random" for job in missing)
    try:
        for _ in run_parallel(run_one, missing, options.jobs, n_training * n_steps):
            pass
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    done = {way: [found for job in planned if job.way == way and (found := job.read())] for way in ways}
    report(name, done, n_steps)
    if all(done.values()):
        draw(done, f"{name}: {n_steps:,} steps, {min(map(len, done.values()))} seeds", options.output / "compare.png")
        print(f"drawn  {options.output / 'compare.png'}")
    return 130 if interrupted else 0


def report(name: str, done: dict[str, list[dict[str, Any]]], n_steps: int) -> None:
    """The table, in Markdown."""
    print(f"{name}: team return after {n_steps:,} environment steps, best actions, {N_EPISODES} episodes a run")
    print("| way | runs | interquartile mean | 95 % interval | worst and best run |\n|---|---|---|---|---|")
    for way, runs in done.items():
        scores = np.array([found["score"] for found in runs])
        if len(scores):
            found = interval(scores)
            print(f"| {way} | {len(scores)} | {found.estimate:.1f} | {found.low:.1f} to {found.high:.1f} "
                  f"| {scores.min():.1f}, {scores.max():.1f} |")  # fmt: skip


def draw(done: dict[str, list[dict[str, Any]]], title: str, path: Path) -> None:
    """Learning curves of all ways: the median run, in a band from the worst to the best."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for index, (way, runs) in enumerate((way, runs) for way, runs in done.items() if way != "random"):
        if not all(found["steps"] for found in runs):
            continue  # shorter than an episode
        draw_runs(axes, [(found["steps"], found["returns"]) for found in runs], way, f"C{index}")
    at_random = np.mean([found["score"] for found in done["random"]])
    axes.axhline(float(at_random), color="0.5", linestyle="--", linewidth=1, label="random play")
    label_axes(axes, title)
    axes.set_ylabel("team return, mean of 100 episodes")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)
