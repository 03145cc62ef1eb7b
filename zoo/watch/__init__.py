"""``sb3-ext watch``: draw a grid world in the browser, see agents learn in it, play saved models.

    messages.py    what a browser may send: JSON, checked field by field; checks.py: how
    learner.py     one agent that learns, in chunks; curve.py: its returns
    explaining.py  one update, spelled out in numbers; words.py: how they are written
    session.py     what one tab shows: a world, one or two learners, the exact solution
    examples.py    worlds to begin with
    saved.py       finds and loads a model of a training; playing.py plays its episodes
    server.py      the web server (Tornado), a session for each tab
    static/        the page: it draws, and computes nothing
    measure.py     how fast all this is
    command.py     the command line

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext watch``, see ``command.py``."""
    from sb3_ext.zoo.watch import command

    return command.main(arguments)
