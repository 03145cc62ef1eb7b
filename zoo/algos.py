"""``sb3-ext algos``: the table of algorithms."""

import argparse

EXAMPLE = "example: sb3-ext algos"


def main(arguments: list[str]) -> int:
    """Print the table."""
    argparse.ArgumentParser(
        "sb3-ext algos", description="List every algorithm under its short name.", epilog=EXAMPLE
    ).parse_args(arguments)
    from rich.console import Console
    from rich.table import Table

    from sb3_ext.algos import TABLE, load

    table = Table("name", "class", "action spaces", "policies", "from", "what it does", title="Algorithms")
    for name, row in TABLE.items():
        package, _, class_name = row.path.partition(":")
        policies = ", ".join(alias.removesuffix("Policy") for alias in load(name).policy_aliases)
        table.add_row(name, class_name, row.actions, policies, package, row.summary)
    Console().print(table)
    return 0
