"""The command line of ``sb3-ext rlhf``."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import folder, not_negative, one_of, positive

if TYPE_CHECKING:
    from rich.table import Table

    from sb3_ext.zoo.rlhf.pipeline import Run

EXAMPLE = """what to do:
  pipeline   SFT, preferences, reward model, then PPO with a KL penalty, GRPO and DPO; one page of plots (default)
  accuracy   sorting and modular addition, right answers rewarded: PPO and GRPO from an SFT policy at about 0.5
  exact      how near DPO, IPO, KTO, ORPO, PPO, GRPO and REINFORCE come to the exact optimum
  hacking    learned and true reward against the distance from the reference, one reward model and ensembles
  cache      how much faster writing is with the key-value cache
  figures    all four of them

examples:
  sb3-ext rlhf                                      sort three letters: minutes
  sb3-ext rlhf --task words --reward classifier     pleasant words: a sentiment reward
  sb3-ext rlhf --task brackets --beta 0.5
  sb3-ext rlhf accuracy --seeds 5                   again after Ctrl-C: what is missing"""

TASKS = ("copy", "reverse", "sort", "modular_addition", "brackets", "words")
REWARDS = ("learned", "classifier", "true")
SECTIONS = ("accuracy", "exact", "hacking", "cache")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext rlhf",
        description="Align a small language model from end to end, with the exact optimum beside it.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("what", nargs="*", type=one_of(("pipeline", "figures", *SECTIONS)), help="see below")
    options.add_argument("--task", type=one_of(TASKS), default="sort", help=f"{', '.join(TASKS)} (default: sort)")
    options.add_argument(
        "--reward", type=one_of(REWARDS), default="learned",
        help="learned from preferences, a classifier of good texts, or the true one (default: learned)",
    )  # fmt: skip
    options.add_argument("--beta", type=above_zero, help="weight of the KL penalty, log-odds (default: the task's)")
    options.add_argument("--seed", type=not_negative, default=0, help="of the pipeline (default: 0)")
    options.add_argument("--seeds", type=positive, default=5, help="of each figure (default: 5)")
    options.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    options.add_argument("--output", type=folder, default="runs/rlhf", help="folder (default: runs/rlhf)")
    return options


def above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return number


def main(arguments: list[str]) -> int:
    """Run the pipeline or measure figures; 130 if interrupted."""
    options = parser().parse_args(arguments)
    sections = [each for each in SECTIONS if each in options.what or "figures" in options.what]
    if sections:
        from sb3_ext.zoo.rlhf.figures import measure_figures

        status = measure_figures(sections, options)
        if status or "pipeline" not in options.what:
            return status
    return run_pipeline(options)


def run_pipeline(options: argparse.Namespace) -> int:
    """One task from end to end: a table and a page, of the finished stages if the run ends early."""
    import torch
    from rich.console import Console

    from sb3_ext.zoo.rlhf.page import write_page
    from sb3_ext.zoo.rlhf.pipeline import Pipeline
    from sb3_ext.zoo.rlhf.recipes import RECIPES

    torch.set_num_threads(1)
    pipeline, status = Pipeline(RECIPES[options.task], options.reward, options.beta, options.seed), 0
    try:
        pipeline.play()
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept", file=sys.stderr)
        status = 130
    except (ValueError, RuntimeError) as error:  # PyTorch's, if numbers have grown too large
        print(f"sb3-ext rlhf: {error}", file=sys.stderr)
        status = 2
    run = pipeline.run
    if run.seconds:  # a stage is finished
        console = Console()
        console.print(comparison_table(run))
        console.print(f"page  {os.path.relpath(write_page(run, options.output))}", highlight=False, soft_wrap=True)
    return status


def comparison_table(run: "Run") -> "Table":
    """What each policy is worth."""
    from rich.table import Table

    from sb3_ext.zoo.rlhf.page import comparison, optimum_columns

    title = f"{run.recipe.task}, reward: {run.reward}, beta {run.beta:g}, {sum(run.seconds.values()):.0f} seconds"
    lines = Table("", "true reward", "right", "score", "KL(π‖ref)", *optimum_columns(run), title=title)
    for column in lines.columns[1:]:
        column.justify = "right"
    for row in comparison(run):
        lines.add_row(*row)
    return lines
