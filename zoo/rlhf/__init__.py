"""``sb3-ext rlhf``: RLHF from end to end on a small task, and the figures that it is measured by.

Where to read what:

    recipes.py     how each step is done on each task
    pipeline.py    SFT, preferences, reward model, then PPO, GRPO and DPO
    gauge.py       what a policy is worth, exactly where texts can be listed
    hacking.py     over-optimisation
    page.py        one page of plots (drawing.py)
    measures.py    the figures of the README, one seed at a time; figures.py: with several seeds
    command.py     the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext rlhf``, see ``command.py``."""
    from sb3_ext.zoo.rlhf import command

    return command.main(arguments)
