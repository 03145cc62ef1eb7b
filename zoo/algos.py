"""``sb3-ext algos``: the table of algorithms."""

import argparse

EXAMPLE = "example: sb3-ext algos"
SHORT = {"Box": "B", "Discrete": "D", "MultiDiscrete": "MD", "MultiBinary": "MB"}
FROM = {"sb3_ext": "here", "stable_baselines3": "SB3", "sb3_contrib": "contrib"}


def main(arguments: list[str]) -> int:
    """Print the table."""
    argparse.ArgumentParser(
        "sb3-ext algos", description="List every algorithm under its short name.", epilog=EXAMPLE
    ).parse_args(arguments)
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from sb3_ext.algos import TABLE, load

    table = Table("name", "class", "actions", "policies", "from", "what it does", box=box.SIMPLE_HEAD)
    table.caption = ", ".join(f"{short} {name}" for name, short in SHORT.items())
    for name, row in TABLE.items():
        package, _, class_name = row.path.partition(":")
        actions = " ".join(SHORT[action] for action in row.actions.split(", "))
        policies = " ".join(alias.removesuffix("Policy") for alias in load(name).policy_aliases)
        table.add_row(name, class_name, actions, policies, FROM[package.partition(".")[0]], row.summary)
    Console().print(table)
    return 0
