"""Board games by self-play: MaskablePPO against its earlier selves, measured against players it never trains with."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_ext.algos import load
from sb3_ext.envs.multi import line_games
from sb3_ext.multi_agent import OpponentPool, SelfPlayCallback, SelfPlayVecEnv, evaluate_matches
from sb3_ext.multi_agent.opponents import ModelOpponent
from sb3_ext.zoo.multi_agent import players
from sb3_ext.zoo.multi_agent.examples import Example, shipped_model
from sb3_ext.zoo.multi_agent.pictures import film
from sb3_ext.zoo.multi_agent.training import Trained, make_model, with_options
from sb3_ext.zoo.parallel import count
from sb3_ext.zoo.training import EVALUATION_SEED

N_LOOKS = 20  # evaluations during a training
N_GAMES = 200  # in each of them, against each player
N_MATCHES = 100  # from each seat, at the end, in PettingZoo's own environment


class EntropySchedule(BaseCallback):
    """Lets the entropy coefficient fall geometrically over the training.

    Args:
        first: At the beginning.
        last: At the end.
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self.first, self.last = first, last

    def _on_rollout_start(self) -> None:
        done = 1 - self.model._current_progress_remaining
        self.model.ent_coef = self.first * (self.last / self.first) ** done  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True


class Looks(BaseCallback):
    """Notes the rating, and the share of games won against each of some players, at equal intervals.

    Args:
        pool: Keeps the rating.
        make_games: Makes so many boards.
        opponents: Name to player.
        every: Time steps in between.
        progress: Is told how many steps were made.
    """

    def __init__(self, pool: OpponentPool, make_games: Any, opponents: dict[str, Any], every: int, progress: Any):
        super().__init__()
        self.pool, self.make_games, self.opponents, self.every = pool, make_games, opponents, every
        self.progress = progress
        self.steps: list[int] = []
        self.elo: list[float] = []
        self.wins: dict[str, list[float]] = {name: [] for name in opponents}
        self._counted = 0

    def _on_step(self) -> bool:
        self.progress(self.num_timesteps - self._counted)
        self._counted = self.num_timesteps
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self.every * (len(self.steps) + 1):
            self.steps.append(self.num_timesteps)
            self.elo.append(self.pool.elo)
            for name, player in self.opponents.items():
                results = play_games(self.model, self.make_games, player, n_games=N_GAMES, seed=EVALUATION_SEED)
                self.wins[name].append(float(np.mean(results == 1)))


def play_games(model: Any, make_games: Any, opponent: Any, n_games: int, seed: int) -> np.ndarray:
    """Results of games of a model's best moves, half of them from each seat: 1, 0 or -1 [n_games]."""
    env = SelfPlayVecEnv(make_games(n_games), opponent, seat="alternating", seed=seed)
    results = np.full(n_games, 9)
    observations = env.reset()
    while (results == 9).any():
        actions, _ = model.predict(observations, action_masks=env.action_masks(), deterministic=True)
        observations, _, dones, infos = env.step(actions)
        for board in np.flatnonzero(dones & (results == 9)):
            results[board] = infos[board]["self_play"]["result"]
    return results


def train(example: Example, recipe: Any, seed: int, folder: Path, progress: Any = count) -> tuple[Trained, Looks]:
    """Trains until done or interrupted; the pool of opponents is made in ``folder / "pool"``."""
    torch.set_num_threads(1)
    settings = example.settings
    make_games = getattr(line_games, settings["games"])
    pool = OpponentPool(folder / "pool", **settings["pool"])
    env = SelfPlayVecEnv(make_games(recipe.n_envs), pool, seed=seed, random_opening=settings.get("random_opening", 0))
    model = make_model(recipe, env, seed=seed)
    looks = Looks(pool, make_games, players_of(example), recipe.n_timesteps // N_LOOKS, progress)
    callbacks = [SelfPlayCallback(pool, settings["every"]), EntropySchedule(*settings["ent_coef"]), looks]
    trained = Trained({"*": model}, {})
    try:
        model.learn(recipe.n_timesteps, callbacks)
    except KeyboardInterrupt:
        trained.interrupted = True
    return trained, looks


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """The example from training to pictures; 130 if interrupted.

    Raises:
        ValueError: If the folder holds another training's pool.
    """
    if options.shipped:
        model = load("ppo_mask").load(shipped_model(name), device="cpu")
        judge(name, example, model, options)
        return 0
    (recipe,) = with_options(example.ways[options.way], options.n_timesteps, options.n_envs).values()
    if (options.output / "pool" / "index.json").exists():
        raise ValueError(f"{options.output / 'pool'} holds the opponents of an earlier training; move it, or --output")
    with tqdm(total=recipe.n_timesteps, unit="step", unit_scale=True, desc=name, mininterval=0.5) as progress:
        trained, looks = train(example, recipe, options.seed, options.output, progress.update)
    print(f"model  {trained.save(options.output)[0]}\npool   {options.output / 'pool'}")
    draw(looks, f"{name}: self-play, {recipe.algo}", options.output / "curve.png")
    print(f"curve  {options.output / 'curve.png'}")
    judge(name, example, trained.models["*"], options)
    return 130 if trained.interrupted else 0


def players_of(example: Example) -> dict[str, Any]:
    """The scripted players that it is measured against, by name; the strongest last."""
    return {"random": "random"} | {
        who: getattr(players, function) for who, function in example.settings["opponents"].items()
    }


def judge(name: str, example: Example, model: Any, options: argparse.Namespace) -> None:
    """Prints matches in PettingZoo's own environment, and films games against the strongest player."""
    opponents = players_of(example)
    against = {"trained": model, **opponents}
    matches = evaluate_matches(against, example.make_env, N_MATCHES, EVALUATION_SEED + options.seed)
    print("\n".join(line for line in str(matches).splitlines() if not line.startswith(tuple(opponents))))
    if name == "tic_tac_toe":
        report_losses(model)
    *_, strongest = opponents.values()
    env = example.make_env()
    line_up = dict(zip(env.possible_agents, (model, strongest), strict=True))
    shown = film(partial(example.make_env, render_mode="rgb_array"), line_up.__getitem__, options.output / "play.gif",
                 seed=options.seed, **example.settings["film"])  # fmt: skip
    print(f"film   {shown}")


def report_losses(model: Any) -> None:
    """Every game of tic-tac-toe that the best moves of a model can lose."""
    player = ModelOpponent(model, deterministic=True)
    for perfect, against in ((True, "perfect play"), (False, "any play")):
        lost = [len(players.tic_tac_toe_losses(player, first, perfect)) for first in (True, False)]
        print(f"games that {against} can win: {lost[0]} where the model begins, {lost[1]} where it does not")


def draw(looks: Looks, title: str, path: Path) -> None:
    """Rating and shares of games won over time steps."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    figure.suptitle(title)
    rating, wins = figure.subplots(1, 2)
    rating.plot(looks.steps, looks.elo, color="C0", marker=".")
    rating.set(title="Elo rating, by training games", xlabel="time steps", ylabel="points (untrained: 1000)")
    for index, (name, shares) in enumerate(looks.wins.items()):
        wins.plot(looks.steps, shares, color=f"C{index + 1}", marker=".", label=f"against {name}")
    wins.set(
        title=f"best moves, either seat, {N_GAMES} games", xlabel="time steps", ylabel="share won", ylim=(-0.02, 1.02)
    )
    wins.legend(frameon=False)
    for axes in (rating, wins):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=100)
