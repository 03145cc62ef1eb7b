"""``sb3-ext plot``: compare runs of benchmarks, Monitor, EvalCallback, RL Zoo or TensorBoard, in pictures and a page.

    readers.py     one format each: the learning curve and the final score that it holds
    runs.py        finds runs in folders, says which algorithm and environment they are of
    groups.py      which runs belong together, and what speaks against comparing them
    comparison.py  curves on a common grid, scores, measures over environments, all with intervals
    figures.py     pictures of these
    page.py        one self-contained HTML page; style.py how it looks
    command.py     the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext plot``, see ``command.py``."""
    from sb3_ext.zoo.plot import command

    return command.main(arguments)
