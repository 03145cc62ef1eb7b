"""``sb3-ext dqn``: the extensions of DQN one by one: an ablation, overestimation, images, speed.

What is finished is kept: the same command goes on where it was interrupted.
"""

import argparse
import os
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import folder, one_of, positive

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = """sections:
  ablate        DQN, each extension alone, Rainbow, each removed from it, no replay, no target network; RL Zoo's
                hyperparameters of DQN for all
  goal          the presets with hyperparameters of their own (zoo/hyperparams), on the README's figures
  overestimate  Q values of DQN and of Double DQN against the exact ones, in worlds with few states
  images        GridWorld's images, and Atari's Pong through EnvPool: speed, memory, no NaN
  speed         the sum tree against NumPy's choice(p=...); steps per second against SB3's DQN, by turns

examples:
  sb3-ext dqn ablate --tasks CartPole-v1 --seeds 3      a table and a picture
  sb3-ext dqn goal                                      hours; again after Ctrl-C: what is missing
  sb3-ext dqn overestimate speed                        minutes"""

INTERRUPTED = "interrupted; what is finished is kept: the same command goes on there"
SECTIONS = ("ablate", "goal", "overestimate", "images", "speed")
TASKS = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext dqn",
        description="Compare the extensions of DQN: alone, together, and each taken away.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("section", nargs="*", type=one_of(SECTIONS), help="what to measure (default: everything)")
    add("--tasks", nargs="+", type=one_of(TASKS), default=list(TASKS), help="of ablate and goal (default: all)")
    add("--seeds", type=positive, help="of each row (default: 5; goal: 10, LunarLander 4; speed: 5 repeats)")
    add("-n", "--n-timesteps", type=positive, help="steps of each training of ablate (default: RL Zoo's for DQN)")
    add("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    add("--output", type=folder, default="runs/dqn", help="folder (default: runs/dqn)")
    return options


def main(arguments: list[str]) -> int:
    """Measure what is missing, then report; 130 if interrupted."""
    options = parser().parse_args(arguments)
    import torch
    from rich.console import Console

    from sb3_ext.zoo.figures import installed

    torch.set_num_threads(1)
    console, chosen = Console(), options.section or SECTIONS
    if "LunarLander-v3" in options.tasks and not installed("envpool", "Box2D"):
        options.tasks.remove("LunarLander-v3")
        hint = "LunarLander-v3 is left out: it needs Box2D or EnvPool, pip install 'sb3-ext[box2d,envpool]'"
        console.print(hint, style="yellow", markup=False)
    for section in SECTIONS:
        if section in chosen and not MEASURES[section](options, console):
            console.print(INTERRUPTED)
            return 130
    return 0


def _ablate(options: argparse.Namespace, console: "Console") -> bool:
    from sb3_ext.zoo.dqn import rows

    return _train("ablate", rows.ablation(options.tasks, options.seeds or 5, options.n_timesteps), options, console)


def _goal(options: argparse.Namespace, console: "Console") -> bool:
    from sb3_ext.zoo.dqn import rows

    return _train("goal", rows.goals(options.tasks, options.seeds), options, console)


def _overestimate(options: argparse.Namespace, console: "Console") -> bool:
    from sb3_ext.zoo.dqn import overestimation

    return _train("overestimate", overestimation.jobs(options.seeds or 5), options, console)


def _train(section: str, jobs: list, options: argparse.Namespace, console: "Console") -> bool:
    """Train what is missing, print the table, draw the picture; False if interrupted."""
    from sb3_ext.zoo.dqn import training

    file = options.output / "dqn.csv"
    finished = training.complete(jobs, file, options.jobs)
    results = training.done(jobs, file)
    if results:
        console.print(training.table(section, jobs, results))
        image = options.output / f"{section}.png"
        training.draw(section, jobs, results).savefig(image, dpi=120)
        console.print(f"picture  {image}", highlight=False, soft_wrap=True)
        console.print(f"results  {file}", highlight=False, soft_wrap=True)
    return finished


def _speed(options: argparse.Namespace, console: "Console") -> bool:
    from sb3_ext.zoo.dqn import speed

    try:
        for lines in speed.tables(options.seeds or 5):
            console.print(lines)
    except KeyboardInterrupt:
        return False
    return True


def _images(options: argparse.Namespace, console: "Console") -> bool:
    from sb3_ext.zoo.dqn import images

    try:
        console.print(images.table(options.jobs))
    except KeyboardInterrupt:
        return False
    return True


MEASURES = {"ablate": _ablate, "goal": _goal, "overestimate": _overestimate, "images": _images, "speed": _speed}
