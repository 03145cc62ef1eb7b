"""``sb3-ext multi-agent``: examples on PettingZoo's environments and ours, a comparison, a check of what works.

    examples.py      every example with its hyperparameters
    training.py      shared, centralised and independent models by one function, with curves of teams
    team_game.py     runs the examples in which teams act at once
    pictures.py      curves and films
    players.py       scripted players of the board games
    command.py       the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext multi-agent``, see ``command.py``."""
    from sb3_ext.zoo.multi_agent import command

    return command.main(arguments)
