"""The figures of Sutton & Barto (2nd ed.), measured again: numbers over many runs, and a drawing of each.

    prediction_figures.py    chapters 5, 6, 7 and 12: values of a given policy, learned
    control_figures.py       chapter 6: SARSA, Q-learning, Expected SARSA, double Q-learning
    planning_figures.py      chapter 8: Dyna
    exact_figures.py         chapters 4, 5 and 13: beside dynamic programming
    references.py            all of them by name, with the numbers that they should have
    command.py               ``sb3-ext book``

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext book``, see ``command.py``."""
    from sb3_ext.zoo.book import command

    return command.main(arguments)
