"""``sb3-ext COMMAND`` = ``python -m sb3_ext.zoo COMMAND``. Each command is a module with a ``main(arguments)``."""

import difflib
import os
import sys
from importlib import import_module
from io import TextIOWrapper

COMMANDS = {
    "demo": "train REINFORCE on CartPole in seconds and look at it",
    "watch": "draw a grid world in the browser, see agents learn; play saved models",
    "algos": "list every algorithm: ours, SB3's and sb3-contrib's",
    "train": "train any of them (RL Zoo's train, with ours)",
    "enjoy": "watch a trained agent (RL Zoo's enjoy, with ours)",
    "record-video": "film a trained agent (RL Zoo's record_video, with ours)",
    "tune": "search hyperparameters on one machine or several, train the best again",
    "benchmark": "train algorithms on environments with several seeds, compare their scores",
    "plot": "compare runs in pictures and one page: benchmark, Monitor, RL Zoo, TensorBoard",
    "speed": "measure how fast environments and trainings are, as ratios",
    "figures": "measure the figures of the README again",
    "grpo": "compare GRPO with matched and unmatched groups, REINFORCE and PPO",
    "dqn": "compare the extensions of DQN up to Rainbow: alone, together, each removed",
    "book": "measure the figures of Sutton & Barto again, beside their numbers",
    "multi-agent": "train several agents: shared, independent, self-play, central critic",
    "rlhf": "align a small language model from end to end, beside the exact optimum",
    "oracle": "hold every estimator against the exact gradient: bias and variance",
    "lab": "solve FrozenLake with Q-learning, compare it with the exact solution, draw how",
    "gap": "compute how far from the optimum the tabular algorithms end",
    "doctor": "find what is wrong with an environment, an algorithm or a training",
    "check": "grade functions of your own, and train with them",
}


def usage() -> str:
    """The overview that ``sb3-ext --help`` prints."""
    rows = "\n".join(f"  {name:<13} {summary}" for name, summary in COMMANDS.items())
    return f"usage: sb3-ext COMMAND [options]\n\n{rows}\n\n`sb3-ext COMMAND --help` explains a command by example."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        import sb3_ext

        print(sb3_ext.__version__)
        return 0
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± shows ?
    command, *rest = arguments
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"sb3-ext: there is no command {command!r}{hint}\n\n{usage()}", file=sys.stderr)
        return 2
    sys.path.append(os.getcwd())  # for modules of one's own, as `python -m` has it
    try:
        return import_module(f"sb3_ext.zoo.{command.replace('-', '_')}").main(rest)
    except KeyboardInterrupt:  # outside of what a command keeps from an interruption itself
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
