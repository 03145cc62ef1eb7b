"""``sb3-ext multi-agent``: the examples, a comparison, and a check of everything that PettingZoo has."""

import argparse
import os
import sys
from importlib import import_module

from sb3_ext.zoo.multi_agent.examples import EXAMPLES, shipped_model
from sb3_ext.zoo.options import folder, nearest_of, not_negative, positive

DETAILS = """An example writes its models, its curve and a film to --output, and prints how it does against random play;
its hyperparameters are in zoo/multi_agent/examples.py. Ctrl-C ends the training, and keeps what was learned.

examples:
  sb3-ext multi-agent simple_spread --way centralized      a critic that sees everybody
  sb3-ext multi-agent simple_spread --compare --seeds 5    all ways, and PettingZoo's tutorial; goes on after Ctrl-C
  sb3-ext multi-agent simple_spread --tune 50              search hyperparameters, as sb3-ext tune does
  sb3-ext multi-agent --check                              a table: which environments of PettingZoo work"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    listed = "\n".join(f"  {name:<24} {example.about}" for name, example in EXAMPLES.items())
    ways = dict.fromkeys(way for example in EXAMPLES.values() for way in example.ways)
    options = argparse.ArgumentParser(
        "sb3-ext multi-agent",
        description="Train several agents on PettingZoo's environments and ours.",
        epilog=f"names:\n{listed}\n\n{DETAILS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("name", nargs="?", type=nearest_of("example", EXAMPLES), metavar="NAME", help="one of the names below")
    add("--way", help=f"how to learn: {', '.join(ways)} (default: the example's first)")
    add("-n", "--n-timesteps", type=positive, help="steps of the environment, all copies together (default: its own)")
    add("--n-envs", type=positive, help="copies of the environment (default: the example's)")
    add("--seed", type=not_negative, default=0, help="of everything (default: 0)")
    add("--output", help="folder to write (default: runs/multi_agent/NAME)")
    instead = options.add_mutually_exclusive_group()
    instead.add_argument("--compare", action="store_true", help="instead: all ways on equal steps and --seeds")
    instead.add_argument("--tune", type=positive, metavar="N", help="instead: N trials of sb3-ext tune")
    instead.add_argument("--shipped", action="store_true", help="instead: the model that ships (connect_four)")
    instead.add_argument("--check", action="store_true", help="instead: all environments beside the raw ones; no NAME")
    add("--seeds", type=positive, help="of --compare (default: 5), of a trial of --tune (default: 3)")
    add("--jobs", type=positive, default=os.cpu_count() or 1, help="processes of the last three (default: all CPUs)")
    return options


def main(arguments: list[str]) -> int:
    """Do what is asked; 130 if it was interrupted, 2 for a mistake."""
    checked = parser()
    options = checked.parse_args(arguments)
    if options.name is None and not options.check:
        if options.compare or options.tune or options.shipped:
            checked.error("--compare, --tune and --shipped need the NAME of an example")
        checked.print_help()
        return 0
    try:
        if options.check:
            from sb3_ext.zoo.multi_agent import check

            return check.run(options)
        return run_example(options)
    except (ValueError, argparse.ArgumentTypeError) as error:
        print(f"sb3-ext multi-agent: {error}", file=sys.stderr)
        return 2


def run_example(options: argparse.Namespace) -> int:
    """One example, or its comparison or search.

    Raises:
        ValueError: If it is not learned that way.
    """
    example = EXAMPLES[options.name]
    options.way = options.way or next(iter(example.ways))
    if options.way not in example.ways:
        raise ValueError(f"{options.name} learns in the way {' or '.join(example.ways)}, not {options.way!r}")
    options.output = folder(options.output or f"runs/multi_agent/{options.name}")
    if options.shipped and not shipped_model(options.name).exists():
        raise ValueError(f"no model of {options.name} ships; connect_four's does")
    options.seeds = options.seeds or (3 if options.tune else 5)
    kind = "compare" if options.compare else "tuning" if options.tune else example.kind
    return import_module(f"sb3_ext.zoo.multi_agent.{kind}").run(options.name, example, options)
