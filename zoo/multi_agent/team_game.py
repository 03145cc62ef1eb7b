"""Examples in which teams of agents act at once: train, evaluate against random play, draw, film, save."""

import argparse
from fnmatch import fnmatchcase
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from tqdm import tqdm

from sb3_ext.multi_agent import evaluate_multi_agent
from sb3_ext.zoo.multi_agent.examples import Example
from sb3_ext.zoo.multi_agent.pictures import draw_curves, film
from sb3_ext.zoo.multi_agent.training import Trained, train, with_options
from sb3_ext.zoo.training import EVALUATION_SEED


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """The example from training to pictures; 130 if interrupted."""
    models = with_options(example.ways[options.way], options.n_timesteps, options.n_envs)
    with tqdm(total=next(iter(models.values())).n_timesteps, unit="step", unit_scale=True, desc=name) as progress:
        trained = train(example, options.way, models, options.seed, progress.update)
    for file in trained.save(options.output):
        print(f"model  {file}")
    n_episodes = example.settings.get("eval_episodes", 100)
    rows = evaluate(example, trained, n_episodes, options.seed)
    print(table(example, rows, n_episodes))
    algos = {recipe.algo for recipe in models.values()}
    who = algos.pop() if len(algos) == 1 else ", ".join(f"{recipe.algo} {names}" for names, recipe in models.items())
    title = f"{name}: {options.way}, {who}"
    draw_curves(trained.curves, rows[0][1], title, options.output / "curve.png")
    how = {"seed": options.seed, "deterministic": _deterministic(example), **example.settings["film"]}
    file = film(
        partial(example.make_env, render_mode="rgb_array"), trained.player_of, options.output / "play.gif", **how
    )
    print(f"curve  {options.output / 'curve.png'}\nfilm   {file}")
    return 130 if trained.interrupted else 0


Row = tuple[tuple[bool, ...], dict[str, np.ndarray]]
"""Which teams were trained, and the returns of each team [n_episodes]."""


def evaluate(example: Example, trained: Trained, n_episodes: int, seed: int) -> list[Row]:
    """Every mixture of trained and random teams, all random first."""
    env = example.make_env()
    agents = list(env.possible_agents)
    env.close()
    rows = []
    for mixture in product([False, True], repeat=len(example.teams)):
        players: dict[str, Any] = {}
        for learned, pattern in zip(mixture, example.teams.values(), strict=True):
            members = [agent for agent in agents if fnmatchcase(agent, pattern)]
            players |= {agent: trained.player_of(agent) if learned else "random" for agent in members}
        result = evaluate_multi_agent(
            players, example.make_env, n_episodes, EVALUATION_SEED + seed, _deterministic(example)
        )
        returns = {
            team: result.returns[:, [fnmatchcase(agent, pattern) for agent in result.agents]].sum(axis=1)
            for team, pattern in example.teams.items()
        }
        rows.append((mixture, returns))
    return rows


def _deterministic(example: Example) -> bool:
    return example.settings.get("deterministic", True)


def table(example: Example, rows: list[Row], n_episodes: int) -> str:
    """Mean returns of the teams, with standard errors."""
    lines = [f"mean return of {n_episodes} episodes, added up over a team's agents, ± standard error"]
    for mixture, returns in rows:
        who = ", ".join(
            f"{team} {'trained' if learned else 'random'}" for team, learned in zip(example.teams, mixture, strict=True)
        )
        shown = "   ".join(
            f"{team} {values.mean():.1f} ± {values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0:.1f}"
            for team, values in returns.items()
        )
        lines.append(f"  {who:36} {shown}")
    return "\n".join(lines)
