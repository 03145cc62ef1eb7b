"""``sb3-ext benchmark``: algorithms x environments x seeds, each run kept with its curve, its score and its model.

    runs.py     one run, and its folder: RL Zoo's layout, so that `sb3-ext enjoy -f` plays it
    suite.py    the rows of the README's table, the best that is possible, published scores
    report.py   scores.csv, the table for the terminal and for the README
    results.py  what ships with the project: zoo/results/
    command.py  the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext benchmark``, see ``command.py``."""
    from sb3_ext.zoo.benchmark import command

    return command.main(arguments)
