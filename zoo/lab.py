"""``sb3-ext lab``: lab D.1 of the course in one go: solve FrozenLake-v1 with Q-learning, and see how.

Read on in ``pictures/``, where each picture is a function.
"""

import argparse
import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sb3_ext.zoo.options import folder, positive

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from sb3_ext.tabular import TabularMDP

EXAMPLE = """pictures:
  q_table_evolution.png      the table while it is learned, with its greedy actions, beside the exact one
  q_table_evolution.gif      the same as a film
  exploration.png            learning curves: epsilon that decays, beside two that do not
  rates_and_discounts.png    what learning rates and discounts are worth, seed by seed
  cliff_paths.png            CliffWalking-v1: the paths of SARSA and of Q-learning

examples:
  sb3-ext lab                              everything, in seconds
  sb3-ext lab --seeds 100 --jobs 1         more seeds, on one core
  sb3-ext lab --timesteps 20000            when it may train for less time
  sb3-ext lab --output runs/my-lab         write to another folder"""

ENV_ID = "FrozenLake-v1"
N_EPISODES = 10_000  # simulated, for each seed
SNAPSHOTS = (0, 0.005, 0.03, 0.2, 1)  # shares of the training that are drawn; the film has more
N_FRAMES = 40
RESULTS = "results.csv"


class Result(NamedTuple):
    """What one seed learned; a row of results.csv."""

    seed: int
    timesteps: int
    simulated: float
    """success rate in simulated episodes"""
    exact: float
    """the same, computed from the model"""


def enough(text: str) -> int:
    """A number of steps in which an episode is certainly over."""
    timesteps = positive(text)
    if timesteps < 100:
        raise argparse.ArgumentTypeError(f"must be at least 100, the longest episode, got {timesteps}")
    return timesteps


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext lab",
        description="Solve FrozenLake-v1 (slippery) with Q-learning's own defaults, several seeds; compare what was "
        "learned with the exact solution; draw how it was learned.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--seeds", type=positive, default=20, help="how many seeds, from 0 on (default: 20)")
    options.add_argument("--timesteps", type=enough, default=100_000, help="steps of a training (default: 100000)")
    options.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="threads (default: all CPUs)")
    options.add_argument("--output", type=folder, default="runs/lab", help="folder to write (default: runs/lab)")
    return options


def main(arguments: list[str]) -> int:
    """Train, evaluate and draw; 130 if interrupted, and then what is finished is reported and kept."""
    options = parser().parse_args(arguments)
    from rich.console import Console
    from tqdm import tqdm

    pictures, output = make_pictures(options), options.output
    for name in (*pictures, RESULTS):
        (output / name).unlink(missing_ok=True)  # of an earlier run, with other options
    results: list[Result] = []
    written: list[str] = []
    with tqdm(total=options.seeds + len(pictures), unit="part") as progress:
        try:
            for seed in range(options.seeds):
                progress.set_description(f"training, seed {seed}")
                results.append(train_and_evaluate(seed, options.timesteps, output))
                write(output / RESULTS, results)
                progress.update()
            for name, draw in pictures.items():
                progress.set_description(f"drawing {name}")
                draw(output / name)
                written.append(name)
                progress.update()
            progress.set_description("done")
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False

    console = Console()
    if results:
        console.print(table(results))
        models = output / "models"
        console.print(f"models   {models}/seed-*.zip (QLearning.load reads them)", highlight=False, soft_wrap=True)
        console.print(f"results  {output / RESULTS}", highlight=False, soft_wrap=True)
    for name in written:
        console.print(f"picture  {output / name}", highlight=False, soft_wrap=True)
    if interrupted:
        left = f"{options.seeds - len(results)} seeds and {len(pictures) - len(written)} pictures"
        console.print(f"interrupted, {left} to go; what is finished is kept", highlight=False)
    return 130 if interrupted else 0


# ---- Train and evaluate ---------------------------------------------------------------------------------------------


def train_and_evaluate(seed: int, timesteps: int, output: Path) -> Result:
    """Q-learning with the class's own defaults, and the success rate of its greedy policy, simulated and exact."""
    import numpy as np

    from sb3_ext.tabular import QLearning
    from sb3_ext.zoo.pictures import return_within

    model = QLearning("TabularPolicy", ENV_ID, seed=seed).learn(timesteps)
    folder(str(output / "models"))
    model.save(output / "models" / f"seed-{seed}")
    mdp, limit = world()
    policy = model.policy.action_probabilities(np.arange(mdp.n_states))
    simulated = simulate(mdp, policy.argmax(axis=1), N_EPISODES, limit, seed)
    return Result(seed, model.num_timesteps, float(simulated.mean()), float(return_within(mdp, limit, policy)))


def world() -> tuple["TabularMDP", int]:
    """The model of FrozenLake-v1 that the environment publishes, and its time limit."""
    import gymnasium as gym

    from sb3_ext.tabular import TabularMDP

    env = gym.make(ENV_ID)
    assert env.spec is not None
    assert env.spec.max_episode_steps is not None
    return TabularMDP.from_env(env), env.spec.max_episode_steps


def simulate(mdp: "TabularMDP", policy: "np.ndarray", n_episodes: int, n_steps: int, seed: int) -> "np.ndarray":
    """Returns of episodes that are played side by side, each step of all of them at once.

    Args:
        mdp: The world.
        policy: An action for each state, [S].
        n_episodes: How many.
        n_steps: The time limit.
        seed: Of their random numbers.

    Returns:
        Undiscounted, [n_episodes].
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    states = generator.choice(mdp.n_states, n_episodes, p=mdp.start)
    returns, playing = np.zeros(n_episodes), np.arange(n_episodes)
    for _ in range(n_steps):
        next_states, rewards, terminated = mdp.sample(states, policy[states], generator)
        returns[playing] += rewards
        states, playing = next_states[~terminated].astype(np.int64), playing[~terminated]
    return returns


# ---- Draw, keep and show --------------------------------------------------------------------------------------------


def make_pictures(options: argparse.Namespace) -> dict[str, Callable[[Path], Any]]:
    """File name -> what measures and writes it."""
    return {
        "q_table_evolution.png": lambda file: draw_evolution(options.timesteps, file),
        "q_table_evolution.gif": lambda file: film_evolution(options.timesteps, file),
        "exploration.png": lambda file: draw_exploration(options.seeds, options.timesteps, options.jobs, file),
        "rates_and_discounts.png": lambda file: draw_rates(options.seeds, options.timesteps, options.jobs, file),
        "cliff_paths.png": lambda file: draw_cliff(options.jobs, file),
    }


def snapshots_at(moments: "np.ndarray | list[float]", timesteps: int) -> dict[int, Any]:
    """The tables of seed 0 at these shares of its training."""
    from sb3_ext.tabular import QLearning
    from sb3_ext.zoo.pictures import TableSnapshots

    snapshots = TableSnapshots([round(timesteps * float(share)) for share in moments])
    QLearning("TabularPolicy", ENV_ID, seed=0).learn(timesteps, snapshots)
    return snapshots.tables


def draw_evolution(timesteps: int, file: Path) -> None:
    """The table over training, side by side."""
    from sb3_ext.zoo.pictures import draw_q_table_evolution

    title = f"Q-learning on {ENV_ID} (slippery), seed 0: action values and greedy actions"
    draw_q_table_evolution(snapshots_at(list(SNAPSHOTS), timesteps), ENV_ID, title=title).savefig(file, dpi=120)


def film_evolution(timesteps: int, file: Path) -> None:
    """The table over training, as a film: frames are closer to each other at first, when more happens."""
    import numpy as np

    from sb3_ext.zoo.pictures import animate_q_table

    animate_q_table(file, snapshots_at(np.linspace(0, 1, N_FRAMES) ** 3, timesteps), ENV_ID)


def draw_exploration(n_seeds: int, timesteps: int, n_threads: int, file: Path) -> None:
    """Learning curves of the default epsilon, which decays, and of two that do not."""
    from sb3_ext.common.exploration import EpsilonGreedy
    from sb3_ext.tabular import QLearning, sweep
    from sb3_ext.zoo.pictures import ASKED, draw_learning_curves, greedy_policy, return_within

    explorations = [EpsilonGreedy(0.5, 0.02), EpsilonGreedy(0.5), EpsilonGreedy(0.1)]
    runs = sweep(
        QLearning, ENV_ID, {"exploration": explorations}, seeds=n_seeds, total_timesteps=timesteps,
        n_threads=n_threads, progress_bar=False,
    )  # fmt: skip
    mdp, limit = world()
    bound, learned = float(return_within(mdp, limit)), return_within(mdp, limit, greedy_policy(runs.q_tables))
    names = [
        f"ε = {each.start:g}" + (f" → {each.end:g} (default)" if each.end is not None else "")
        + f"\ngreedy afterwards: {rates.mean():.2f} ({rates.min():.2f} to {rates.max():.2f})"
        for each, rates in zip(explorations, learned, strict=True)
    ]  # fmt: skip
    draw_learning_curves(
        dict(zip(names, runs.returns, strict=True)),
        window=200,
        title=f"Q-learning on {ENV_ID} (slippery): success while exploring, {timesteps:,} steps",
        label="success rate",
        references={f"exact bound {bound:.4f}": bound, f"asked {ASKED:.2f}": ASKED},
    ).savefig(file, dpi=120)


def draw_rates(n_seeds: int, timesteps: int, n_threads: int, file: Path) -> None:
    """Learning rates and discounts."""
    from sb3_ext.zoo.pictures import draw_learning_rates_and_discounts, learning_rates_and_discounts

    compared = learning_rates_and_discounts(n_seeds, timesteps, n_threads)
    draw_learning_rates_and_discounts(compared).savefig(file, dpi=120)


def draw_cliff(n_threads: int, file: Path) -> None:
    """The cliff, by the book's settings."""
    from sb3_ext.zoo.pictures import cliff_runs, draw_cliff_paths

    draw_cliff_paths(cliff_runs(n_threads=n_threads)).savefig(file, dpi=120)


def write(file: Path, results: list[Result]) -> None:
    """Replace the file as a whole: an interruption leaves the old one or the new one."""
    new = file.with_suffix(".new")
    with new.open("w", newline="") as opened:
        csv.writer(opened).writerows([Result._fields, *results])
    new.replace(file)


def table(results: list[Result]) -> "Table":
    """Each seed's success rate, simulated and exact; what was asked, and the most that there is."""
    import numpy as np
    from rich.table import Table

    from sb3_ext.zoo.pictures import ASKED, return_within

    lines = Table(title=f"Q-learning on {ENV_ID} (slippery): success rate of the greedy policy", show_footer=True)
    simulated, exact = (np.array([getattr(result, name) for result in results]) for name in ("simulated", "exact"))
    bound = float(return_within(*world()))
    rows = [(str(result.seed), f"{result.simulated:.4f}", f"{result.exact:.4f}") for result in results]
    summary = [
        ("mean", f"{simulated.mean():.4f}", f"{exact.mean():.4f}"),
        (
            "lowest to highest",
            f"{simulated.min():.4f} to {simulated.max():.4f}",
            f"{exact.min():.4f} to {exact.max():.4f}",
        ),
        (
            f"seeds above {ASKED:.2f} (asked)",
            *(f"{(rate > ASKED).sum()} of {len(rate)}" for rate in (simulated, exact)),
        ),
        ("bound: nothing is better", "", f"{bound:.4f}"),
    ]
    titles = ("seed", f"{N_EPISODES:,} simulated episodes", "exact, within 100 steps")
    for title, footers in zip(titles, zip(*summary, strict=True), strict=True):
        lines.add_column(title, footer="\n".join(footers), justify="right")
    for row in rows:
        lines.add_row(*row)
    return lines
