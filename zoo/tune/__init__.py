"""``sb3-ext tune``: search hyperparameters with Optuna, on one machine or several, and re-train the best.

    storage.py    where a study lives: SQLite, PostgreSQL, MySQL, a gRPC proxy; patient while a server restarts
    study.py      a study: what it is about, its sampler and its pruner by name
    slots.py      who runs which trial, so that none is lost and none counts twice
    objective.py  what a trial is worth: several seeds, pruning between them
    worker.py     the process that runs trials
    crew.py       the command's side of its workers: starts them, replaces dead ones, follows the study
    retrain.py    the best few again on fresh seeds, ranked, with intervals
    report.py     best.yml, the model, pictures, the summary
    command.py    the command line
    reproduce.py  whether best.yml keeps what it promises, over twenty studies

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext tune``, see ``command.py``."""
    from sb3_ext.zoo.tune import command

    return command.main(arguments)
