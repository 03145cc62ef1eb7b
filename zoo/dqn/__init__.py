"""``sb3-ext dqn``: what each extension of DQN is good for, shown; each training is kept.

    rows.py             what is trained: the ablation, the figures of the README
    training.py         one seed of a row, kept; tables and pictures
    overestimation.py   DQN's and Double DQN's values against the exact ones
    images.py           short trainings from images
    speed.py            the sum tree, and steps per second against SB3's DQN
    command.py          the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext dqn``, see ``command.py``."""
    from sb3_ext.zoo.dqn import command

    return command.main(arguments)
