"""``sb3-ext demo``: train REINFORCE on CartPole-v1, evaluate it, draw its curve, save it."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import folder, not_negative, positive

if TYPE_CHECKING:
    from sb3_ext import REINFORCE

EXAMPLE = """examples:
  sb3-ext demo                        train, evaluate, draw, save: seconds
  sb3-ext demo --compare-baselines    what each baseline does to the gradient: minutes"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext demo",
        description="Train REINFORCE on CartPole-v1, play 100 greedy episodes, draw its curve, save the model.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--timesteps", type=positive, help="steps of a training (default: 300000; compared: 150000)")
    options.add_argument("--n-envs", type=positive, default=16, help="parallel environments (default: 16)")
    options.add_argument("--seed", type=not_negative, default=0, help="seed of the (first) run (default: 0)")
    options.add_argument("--output", type=folder, default="runs/demo", help="folder to write (default: runs/demo)")
    options.add_argument(
        "--compare-baselines",
        action="store_true",
        help="instead: train with every baseline and draw the variance of the gradient and the learning curves",
    )
    options.add_argument("--seeds", type=positive, default=5, help="how many seeds are compared (default: 5)")
    return options


def main(arguments: list[str]) -> int:
    """Run the command; 130 if it was interrupted."""
    options = parser().parse_args(arguments)
    if options.compare_baselines:
        from sb3_ext.zoo.baselines import compare_baselines

        seeds = range(options.seed, options.seed + options.seeds)
        return compare_baselines(options.timesteps or 150_000, options.n_envs, seeds, options.output)
    return train_and_show(options)


def train_and_show(options: argparse.Namespace) -> int:
    """Train until done or interrupted; show and save what there is."""
    import torch
    from stable_baselines3.common.callbacks import ProgressBarCallback

    from sb3_ext import REINFORCE
    from sb3_ext.vec_env import make_vec_env
    from sb3_ext.zoo.curves import WINDOW, draw_learning_curve
    from sb3_ext.zoo.training import EpisodeLog

    torch.set_num_threads(1)  # for networks this small, more threads only get in each other's way
    env = make_vec_env("CartPole-v1", n_envs=options.n_envs, seed=options.seed)
    model = REINFORCE("MlpPolicy", env, seed=options.seed)
    log, bar = EpisodeLog(), ProgressBarCallback()
    started, interrupted = time.perf_counter(), False
    try:
        model.learn(options.timesteps or 300_000, callback=[log, bar])
    except KeyboardInterrupt:
        interrupted = True
        bar.on_training_end()  # give the terminal back
    seconds = time.perf_counter() - started

    model.save(options.output / "model")
    curve = options.output / "curve.png"
    curve.unlink(missing_ok=True)
    if log.returns:
        title = "REINFORCE on CartPole-v1"
        draw_learning_curve([(log.timesteps, log.returns)], title, solved=475).savefig(curve, dpi=120)
    report(model, log.returns[-WINDOW:], seconds, interrupted, options.output)
    return 130 if interrupted else 0


def report(model: "REINFORCE", training_returns: list[float], seconds: float, interrupted: bool, output: Path) -> None:
    """Play 100 greedy episodes and print how it went and where things are."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from stable_baselines3.common.evaluation import evaluate_policy

    from sb3_ext.vec_env import make_vec_env

    env = make_vec_env("CartPole-v1", n_envs=50, seed=10_000)
    returns, _ = evaluate_policy(model, env, n_eval_episodes=100, return_episode_rewards=True)
    greedy, spread = float(np.mean(returns)), float(np.std(returns))
    table = Table(title="REINFORCE on CartPole-v1" + (" (interrupted)" if interrupted else ""))
    table.add_column()
    table.add_column(justify="right")
    table.add_row("steps", f"{model.num_timesteps:,}")
    table.add_row("seconds", f"{seconds:.1f}")
    table.add_row("return, last 100 training episodes", f"{np.mean(training_returns):.1f}" if training_returns else "-")
    table.add_row("return, 100 greedy episodes", f"{greedy:.1f} ± {spread:.1f}")
    table.add_row("solved (475 of 500)", "yes" if greedy >= 475 else "no")
    console = Console()
    console.print(table)
    if training_returns:
        console.print(f"learning curve  {output / 'curve.png'}", highlight=False, soft_wrap=True)
    console.print(f"saved model     {output / 'model.zip'} (REINFORCE.load reads it)", highlight=False, soft_wrap=True)
